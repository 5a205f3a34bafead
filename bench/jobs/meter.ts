/**
 * What a Redis server itself says it used. Over a connection of its own, so that no contender's client is needed; each question
 * is one command, which a contender is not charged with where that would show.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface Usage {
  /** µs of CPU, its background threads included, the forks that rewrite its log not. */
  readonly cpu: number;
  /** Bytes that it holds. */
  readonly memory: number;
  /** Commands, those that scripts call included. */
  readonly commands: number;
  /** Times it read from a connection: on an idle server as many as requests. */
  readonly requests: number;
}

export class Meter {
  readonly #socket: Socket;
  readonly #waiting: ((answer: string) => void)[] = [];
  #received = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    // Nobody waits for an answer when it fails but the run, which is over then.
    socket.setEncoding('latin1').on('data', (piece: string) => this.#receive(piece));
    socket.unref();
  }

  static async open(port: number): Promise<Meter> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Meter(socket);
  }

  async usage(): Promise<Usage> {
    const said = await this.#ask('INFO');
    const number = (name: string) => Number(new RegExp(`^${name}:(\\S+)`, 'm').exec(said)?.[1]);
    return {
      cpu: 1e6 * (number('used_cpu_user') + number('used_cpu_sys')),
      memory: number('used_memory'),
      commands: number('total_commands_processed'),
      requests: number('total_reads_processed'),
    };
  }

  /** Elements of a list; 0 when there is none. */
  async length(list: string): Promise<number> {
    return Number(await this.#ask(`LLEN ${list}`));
  }

  close(): void {
    this.#socket.destroy();
  }

  #ask(command: string): Promise<string> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#socket.ref().write(`${command}\r\n`);
    });
  }

  /** Numbers and strings are all that is asked for. */
  #receive(piece: string): void {
    this.#received += piece;
    for (;;) {
      const [line, kind, text = ''] = /^([:$])(.*)\r\n/.exec(this.#received) ?? [];
      if (line === undefined) break;
      const length = kind === '$' ? line.length + Number(text) + 2 : line.length;
      if (this.#received.length < length) break;
      const answer = kind === '$' ? this.#received.slice(line.length, length - 2) : text;
      this.#received = this.#received.slice(length);
      this.#waiting.shift()?.(answer);
    }
    if (this.#waiting.length === 0) this.#socket.unref();
  }
}
