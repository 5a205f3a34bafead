/**
 * The front door: payloads in over HTTP, answered when they are durable.
 *
 *   POST /payloads   a collection, stored whole or not at all      GET /healthz   the process is alive
 *   GET  /metrics    Prometheus text                               GET /readyz    a post would be taken now
 *
 * Promises: nothing is answered 200 that is not stored, nothing is stored in part, and every request that can be heard
 * is answered once, with problem details where it is refused. Everything is bounded: connections, header size, bodies
 * (each and all together), time. `stop` closes the door, lets what has begun finish, and cuts off what takes too long.
 *
 * Costs: bare node:http and about 3 µs per post on top of it; no timer, stream or copy per request.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { MillraceError, toError } from '../errors.ts';
import { Service } from '../lifecycle.ts';
import { BodyReader } from './body.ts';
import { Connection } from './connection.ts';
import { Exchange, type Surroundings } from './exchange.ts';
import { Gate } from './gate.ts';
import { Intake } from './intake.ts';
import { Meter } from './meter.ts';
import { EXPOSITION_TYPE, exposition } from './metrics.ts';
import { type DoorSettings, type FrontDoorOptions, withDefaults } from './options.ts';
import type { ProblemCode } from './problem.ts';
import { Tokens } from './tokens.ts';

/** How often node:http looks for connections whose headers are late, ms. */
const CHECK_CONNECTIONS_EVERY = 1_000;
/** The body's own time limit answers first; this is the net below it, ms. */
const REQUEST_TIMEOUT_SLACK = 5_000;
/** `/readyz` waits this long for the backend, ms. */
const READINESS_TIMEOUT = 5_000;

interface Route {
  readonly methods: readonly string[];
  /** Needs a token, where tokens are configured. Probes have none, so their routes are open and say nothing secret. */
  readonly guarded: boolean;
  handle(exchange: Exchange): void;
}

/** HEAD is answered like GET; node:http leaves the body out. */
const reads = ['GET', 'HEAD'];

export class FrontDoor extends Service {
  readonly #settings: DoorSettings;
  readonly #tokens: Tokens;
  readonly #gate: Gate;
  readonly #bodies: BodyReader;
  readonly #intake: Intake;
  readonly #meter = new Meter();
  readonly #around: Surroundings;
  readonly #connections = new Map<Socket, Connection>();
  readonly #routes: ReadonlyMap<string, Route> = new Map<string, Route>([
    ['/payloads', { methods: ['POST'], guarded: true, handle: (exchange) => this.#intake.handle(exchange) }],
    ['/healthz', { methods: reads, guarded: false, handle: (exchange) => exchange.json(200, '{"alive":true}') }],
    ['/readyz', { methods: reads, guarded: false, handle: (exchange) => void this.#readiness(exchange) }],
    ['/metrics', { methods: reads, guarded: true, handle: (exchange) => this.#metrics(exchange) }],
  ]);
  #server: Server | undefined;
  #url: string | undefined;

  /** Throws OPTION_INVALID. */
  constructor(options: FrontDoorOptions) {
    super();
    const settings = withDefaults(options);
    const { clock, maxLength, maxInFlight, bodyTimeout, minBodyRate } = settings;
    this.#settings = settings;
    this.#around = { clock, meter: this.#meter, stopping: false };
    this.#tokens = new Tokens(settings.tokens);
    this.#gate = new Gate(settings);
    this.#bodies = new BodyReader({ clock, maxLength, maxInFlight, timeout: bodyTimeout, minRate: minBodyRate });
    this.#intake = new Intake(settings, this.#bodies, this.#gate, this.#around);
  }

  /** `http://HOST:PORT`. Throws NOT_RUNNING before it listens. */
  get url(): string {
    if (this.#url === undefined) throw new MillraceError('NOT_RUNNING', { what: 'the front door', state: this.state });
    return this.#url;
  }

  /** Payloads stored since the door was made; repeats under an idempotency key are not among them. */
  get stored(): number {
    return this.#meter.stored;
  }

  protected override async onStart(): Promise<void> {
    const { headersTimeout, bodyTimeout, keepAliveTimeout, maxConnections } = this.#settings;
    const server = createServer({
      headersTimeout,
      keepAliveTimeout,
      requestTimeout: headersTimeout + bodyTimeout + REQUEST_TIMEOUT_SLACK,
      connectionsCheckingInterval: CHECK_CONNECTIONS_EVERY,
      requireHostHeader: false, // asked for below, with problem details
    });
    // A client may end its side when all is sent, and still waits for the answer; node:http would hang up on it.
    Object.assign(server, { httpAllowHalfOpen: true });
    // `close` calls this, and it cuts answers that are given but not written out; connections retire below instead.
    server.closeIdleConnections = () => {};
    server.maxRequestsPerSocket = 0;
    server.maxConnections = maxConnections;
    server.on('connection', (socket) => this.#greet(socket));
    server.on('request', (request, response) => this.#serve(request, response));
    server.on('checkContinue', (request, response) => this.#serve(request, response, 'continue'));
    server.on('checkExpectation', (request, response) => this.#serve(request, response, 'unknown'));
    server.on('clientError', (error, socket) => this.#misheard(error, socket as Socket));
    this.#server = server;
    this.#around.stopping = false;
    await this.#listen(server);
  }

  protected override async onStop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#url = undefined;
    if (!server) return;
    this.#around.stopping = true;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const connection of this.#connections.values()) connection.retire();
    const grace = this.#settings.clock.timer(this.#settings.stopGrace, () => {
      for (const connection of this.#connections.values()) connection.destroy();
    });
    await closed;
    grace.cancel();
    this.#bodies.close();
  }

  async #listen(server: Server): Promise<void> {
    const { host, port, reusePort } = this.#settings;
    const listening = once(server, 'listening');
    server.listen({ host, port, reusePort });
    await listening.catch((cause) => {
      throw new MillraceError('LISTEN_FAILED', { host, port, reason: toError(cause).message }, { cause });
    });
    server.on('error', (error) => this.#settings.log('error', 'the front door cannot accept connections', { error }));
    const bound = (server.address() as AddressInfo).port;
    this.#url = `http://${host.includes(':') ? `[${host}]` : host}:${bound}`;
  }

  #greet(socket: Socket): void {
    const connection = new Connection(socket, this.#settings.clock);
    this.#connections.set(socket, connection);
    if (this.#around.stopping) connection.retire();
    socket.once('close', () => this.#connections.delete(socket));
  }

  /** The one way in. Whatever goes wrong behind it costs this request and no other. */
  #serve(request: IncomingMessage, response: ServerResponse, expectation?: 'continue' | 'unknown'): void {
    const connection = this.#connections.get(request.socket);
    if (!connection || connection.closing) return;
    const exchange = new Exchange(request, response, connection, this.#around, expectation !== undefined);
    connection.begin(exchange);
    try {
      this.#route(exchange, expectation);
    } catch (error) {
      this.#broken(exchange, error);
    }
  }

  #route(exchange: Exchange, expectation?: 'continue' | 'unknown'): void {
    const { httpVersion, headers } = exchange.request;
    const route = this.#routes.get(exchange.path);
    if (headers.host === undefined && httpVersion === '1.1') {
      exchange.refuse('REQUEST_MALFORMED', 'the Host header is missing');
    } else if (expectation === 'unknown') {
      exchange.refuse('EXPECTATION_FAILED', 'only `100-continue` can be expected');
    } else if (!route) {
      exchange.refuse('NOT_FOUND', `expected one of ${[...this.#routes.keys()].join(', ')}`);
    } else if (allows(exchange, route.methods) && (!route.guarded || this.#admits(exchange))) {
      route.handle(exchange);
    }
  }

  #metrics(exchange: Exchange): void {
    const own = this.#meter.snapshot(this.#connections.size, this.#bodies.inFlight);
    const others = this.#settings.metrics?.() ?? [];
    exchange.answer(200, exposition([...own, ...others]), ['Content-Type', EXPOSITION_TYPE]);
  }

  async #readiness(exchange: Exchange): Promise<void> {
    const reason = await this.#unready();
    if (reason === undefined) exchange.json(200, '{"ready":true}');
    else exchange.refuse('NOT_READY', reason);
  }

  /** Why a post would not be taken now, or undefined. Never rejects. */
  async #unready(): Promise<string | undefined> {
    const { clock, readiness } = this.#settings;
    if (this.#around.stopping) return 'the server is stopping';
    const shut = this.#gate.shut;
    if (shut) return shut === 'QUEUE_FULL' ? 'the queue is full' : 'the backend is away';
    const late = Promise.withResolvers<string>();
    const timer = clock.timer(READINESS_TIMEOUT, () => late.resolve(`no answer within ${READINESS_TIMEOUT} ms`));
    try {
      return (await Promise.race([readiness?.(), late.promise])) ?? undefined;
    } catch (error) {
      return toError(error).message;
    } finally {
      timer.cancel();
    }
  }

  #admits(exchange: Exchange): boolean {
    const { authorization } = exchange.request.headers;
    if (this.#tokens.admits(authorization)) return true;
    const challenge = `Bearer realm="millrace"${authorization === undefined ? '' : ', error="invalid_token"'}`;
    exchange.refuse('TOKEN_INVALID', 'expected `Authorization: Bearer TOKEN`', ['WWW-Authenticate', challenge]);
    return false;
  }

  /** What came is no request. */
  #misheard(error: NodeJS.ErrnoException, socket: Socket): void {
    const connection = this.#connections.get(socket);
    const code = problemOf(error);
    if (!connection || !code) return void socket.destroy();
    if (connection.fail(code, error.message)) this.#meter.misheard(code);
  }

  #broken(exchange: Exchange, error: unknown): void {
    this.#settings.log('error', 'a request failed for a reason of our own', { path: exchange.path, error });
    exchange.refuse('INTERNAL', 'the reason is in the log of the server');
  }
}

/** True when the request's method is one of these; otherwise it is answered: OPTIONS with the list, others with 405. */
function allows(exchange: Exchange, methods: readonly string[]): boolean {
  const { method = '' } = exchange.request;
  if (methods.includes(method)) return true;
  const allow = ['Allow', [...methods, 'OPTIONS'].join(', ')];
  if (method === 'OPTIONS') exchange.answer(204, '', allow);
  else exchange.refuse('METHOD_NOT_ALLOWED', `expected ${methods.join(' or ')}, got ${method}`, allow);
  return false;
}

/** What an error of node:http's parser means for the client, or undefined when there is none any more. */
function problemOf(error: NodeJS.ErrnoException): ProblemCode | undefined {
  if (error.code === 'HPE_HEADER_OVERFLOW') return 'HEADERS_TOO_LARGE';
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'BODY_TOO_SLOW';
  return error.code?.startsWith('HPE_') ? 'REQUEST_MALFORMED' : undefined;
}
