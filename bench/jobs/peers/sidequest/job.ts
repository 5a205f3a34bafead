/** The job's class, which Sidequest loads by the path of this file. Its inline runner does so in the same process. */
import type { Letter } from '../../../letters.ts';
import type { Handler } from '../../system.ts';

const { Job } = await import('sidequest' as string);

let handle: Handler | undefined;

export function onLetter(handler: Handler): void {
  handle = handler;
}

export class LetterJob extends Job {
  run(letter: Letter): Promise<void> {
    return handle ? handle(letter) : Promise.reject(new Error('run before there was a handler'));
  }
}
