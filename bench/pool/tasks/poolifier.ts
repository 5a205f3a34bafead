/** The tasks as poolifier wants them: registered by name. */
import { load } from '../peers.ts';
import acknowledge from './acknowledge.ts';
import add from './add.ts';
import object from './object.ts';
import spin from './spin.ts';

const { ThreadWorker } = await load('poolifier');
export default new ThreadWorker({ add, object, acknowledge, spin });
