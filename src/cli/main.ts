#!/usr/bin/env node
/** `millrace COMMAND …`: finds the command, runs it, and turns what it throws into a message and an exit code. */
import { createRequire } from 'node:module';
import { isError, MillraceError, toError } from '../errors.ts';

interface Command {
  readonly summary: string;
  load(): Promise<{ help: string; run(args: readonly string[]): Promise<void> }>;
}

const commands: Readonly<Record<string, Command>> = {
  serve: { summary: 'take payloads over HTTP and carry them to a sink', load: () => import('./serve.ts') },
  work: { summary: 'run the jobs of some queues, as goworker does', load: () => import('./work.ts') },
  status: { summary: 'show the queues and servers of a backend', load: () => import('./status.ts') },
  jobs: { summary: 'show jobs', load: () => import('./jobs.ts') },
  retry: { summary: 'make jobs available again', load: () => import('./retry.ts') },
  cancel: { summary: 'cancel jobs, running ones too', load: () => import('./cancel.ts') },
  discard: { summary: 'give waiting jobs up', load: () => import('./discard.ts') },
  remove: { summary: 'remove jobs without a trace', load: () => import('./remove.ts') },
  pause: { summary: 'let a queue give no jobs', load: () => import('./pause.ts') },
  resume: { summary: 'let a paused queue give jobs again', load: () => import('./resume.ts') },
  limit: { summary: 'change the settings of a queue', load: () => import('./limit.ts') },
};

const help = `millrace: background jobs that start as one process and end as a fleet

Usage: millrace COMMAND [OPTIONS]

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(8)}${summary}`)
  .join('\n')}

  millrace COMMAND --help   shows the options of a command
  millrace --version        shows the version`;

async function main(args: readonly string[]): Promise<void> {
  const [name, ...rest] = args;
  if (name === '--version' || name === '-v') {
    const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
    console.log(version);
    return;
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    console.log(help);
    return;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new MillraceError('OPTION_UNKNOWN', { option: name });
  const { help: commandHelp, run } = await command.load();
  if (rest.includes('--help') || rest.includes('-h')) console.log(commandHelp);
  else await run(rest);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const wrongUse = (['OPTION_INVALID', 'OPTION_UNKNOWN', 'FILTER_INVALID'] as const).some((code) =>
    isError(error, code),
  );
  const { message } = toError(error);
  process.stderr.write(`millrace: ${error instanceof MillraceError ? message : (toError(error).stack ?? message)}\n`);
  if (wrongUse) process.stderr.write('millrace: see millrace --help\n');
  process.exitCode = wrongUse ? 2 : 1;
}
