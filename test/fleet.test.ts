import { fleetSuite } from './support/fleet-suite.ts';

fleetSuite('one file', (folder) => `sqlite:${folder}/jobs.db`);
