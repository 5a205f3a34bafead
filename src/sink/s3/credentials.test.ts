import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { VirtualClock } from '../../clock.ts';
import { isError } from '../../errors.ts';
import { CredentialCache, defaultProvider } from './credentials.ts';
import type { Credentials } from './identity.ts';
import { defaultRegion, parseIni } from './profile.ts';

const nowhere = { AWS_EC2_METADATA_DISABLED: 'true' };

/** A home folder with the given ~/.aws files. */
async function home(t: TestContext, files: Record<string, string> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-aws-'));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, '.aws'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, '.aws', name), text);
  return { ...nowhere, HOME: folder };
}

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const document = (id: string) =>
  JSON.stringify({ AccessKeyId: id, SecretAccessKey: 's', Token: 't', Expiration: '2030-01-01T00:00:00Z' });

describe('defaultProvider', () => {
  it('takes the environment first', async (t) => {
    const environment = await home(t, { credentials: '[default]\naws_access_key_id=file\naws_secret_access_key=s' });
    const keys = { AWS_ACCESS_KEY_ID: 'env', AWS_SECRET_ACCESS_KEY: 's', AWS_SESSION_TOKEN: 't' };
    const found = await defaultProvider({ ...environment, ...keys })();
    assert.deepEqual(found, { accessKeyId: 'env', secretAccessKey: 's', sessionToken: 't' });
  });

  it('reads the profile of both files, the credentials file winning', async (t) => {
    const environment = await home(t, {
      credentials:
        '# mine\n[default]\naws_access_key_id = a\naws_secret_access_key = b/c+=\n\n[work]\naws_access_key_id = w',
      config:
        '[profile work]\naws_access_key_id = old\naws_secret_access_key = x\nregion = eu-west-1\ns3 =\n  region = no\n[default]\nregion=us-west-2',
    });
    assert.equal((await defaultProvider(environment)()).secretAccessKey, 'b/c+=');
    const work = { ...environment, AWS_PROFILE: 'work' };
    const { accessKeyId, secretAccessKey } = await defaultProvider(work)();
    assert.deepEqual([accessKeyId, secretAccessKey], ['w', 'x']);
    assert.equal(await defaultRegion(environment), 'us-west-2');
    assert.equal(await defaultRegion(work), 'eu-west-1');
    assert.equal(await defaultRegion({ ...work, AWS_REGION: 'ap-south-1' }), 'ap-south-1');
  });

  it('leaves SSO, roles, processes and web identities to the package, and says when it is missing', async (t) => {
    for (const setting of ['sso_start_url = x', 'role_arn = x', 'credential_process = x']) {
      const environment = await home(t, { config: `[default]\n${setting}` });
      await assert.rejects(defaultProvider(environment)(), (error) => isError(error, 'PEER_MISSING'));
    }
  });

  it('asks the container, with its token', async (t) => {
    const url = await serve(t, (request, response) => {
      response.statusCode = request.headers.authorization === 'secret' ? 200 : 401;
      response.end(document('container'));
    });
    const environment = { ...(await home(t)), AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/creds` };
    const found = await defaultProvider({ ...environment, AWS_CONTAINER_AUTHORIZATION_TOKEN: 'secret' })();
    assert.deepEqual([found.accessKeyId, found.sessionToken], ['container', 't']);
    assert.equal(found.expiration?.toISOString(), '2030-01-01T00:00:00.000Z');
    await assert.rejects(defaultProvider(environment)(), (error) => isError(error, 'SINK_AWAY'));
  });

  it('sends a container token to no strange host in the clear', async (t) => {
    const environment = { ...(await home(t)), AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://example.com/creds' };
    await assert.rejects(defaultProvider(environment)(), (error) => isError(error, 'OPTION_INVALID'));
  });

  it('asks the instance by IMDSv2: token, role, credentials', async (t) => {
    const asked: string[] = [];
    const url = await serve(t, (request, response) => {
      asked.push(`${request.method} ${request.url}`);
      const token = request.headers['x-aws-ec2-metadata-token'];
      if (request.method === 'PUT') response.end('token');
      else if (token !== 'token') response.writeHead(401).end();
      else response.end(request.url?.endsWith('/') ? 'my-role' : document('instance'));
    });
    const environment = { ...(await home(t)), AWS_EC2_METADATA_DISABLED: '', AWS_EC2_METADATA_SERVICE_ENDPOINT: url };
    assert.equal((await defaultProvider(environment)()).accessKeyId, 'instance');
    assert.equal(asked.at(-1), 'GET /latest/meta-data/iam/security-credentials/my-role');
  });

  it('names everything it tried when there is nothing', async (t) => {
    await assert.rejects(
      defaultProvider(await home(t))(),
      (error) =>
        isError(error, 'CREDENTIALS_MISSING') && error.fields.tried.join() === 'environment,profile,container,instance',
    );
  });
});

describe('CredentialCache', () => {
  function setUp(lifetime = 60 * 60_000) {
    const clock = new VirtualClock();
    const state = { calls: 0, fails: false };
    const provider = async (): Promise<Credentials> => {
      state.calls++;
      await Promise.resolve();
      if (state.fails) throw new Error('no answer');
      return { accessKeyId: `${state.calls}`, secretAccessKey: 's', expiration: new Date(clock.now() + lifetime) };
    };
    return { clock, state, cache: new CredentialCache(provider, clock) };
  }

  it('fetches once for all who ask at the same time', async () => {
    const { cache, state } = setUp();
    const all = await Promise.all(Array.from({ length: 50 }, () => cache.get()));
    assert.equal(state.calls, 1);
    assert.ok(all.every((one) => one === all[0]));
    assert.equal(cache.fresh, all[0]);
  });

  it('fetches anew five minutes before they expire', async () => {
    const { cache, clock, state } = setUp();
    await cache.get();
    await clock.advance(54 * 60_000);
    await cache.get();
    assert.equal(state.calls, 1);
    await clock.advance(2 * 60_000);
    assert.equal((await cache.get()).accessKeyId, '2');
  });

  it('goes on with what still holds when a refresh fails, and fails when nothing holds', async () => {
    const { cache, clock, state } = setUp();
    await cache.get();
    state.fails = true;
    await clock.advance(56 * 60_000);
    assert.equal((await cache.get()).accessKeyId, '1');
    assert.equal((await cache.get()).accessKeyId, '1');
    assert.equal(state.calls, 2, 'it waits a while before it asks again');
    await clock.advance(5 * 60_000);
    await assert.rejects(cache.get(), /no answer/);
  });

  it('replaces what the store called expired, once for all who held it', async () => {
    const { cache, state } = setUp();
    const stale = await cache.get();
    const fresh = await Promise.all([cache.replace(stale), cache.replace(stale), cache.replace(stale)]);
    assert.deepEqual(
      fresh.map((one) => one.accessKeyId),
      ['2', '2', '2'],
    );
    assert.equal((await cache.replace(stale)).accessKeyId, '2');
    assert.equal(state.calls, 2);
  });

  it('does not ask for every put when credentials live for a minute only', async () => {
    const { cache, clock, state } = setUp(60_000);
    for (let i = 0; i < 20; i++) await cache.get();
    assert.equal(state.calls, 1);
    await clock.advance(31_000);
    await cache.get();
    assert.equal(state.calls, 2);
  });
});

describe('parseIni', () => {
  it('reads sections, comments and odd spacing', () => {
    const text = '; c\n[ profile "a b" ]\r\nKey = v # note\nurl=http://x#y\nlost\n[x]\n[x]\nk=1';
    const sections = parseIni(text);
    assert.deepEqual({ ...sections.get('profile a b') }, { key: 'v', url: 'http://x#y' });
    assert.deepEqual({ ...sections.get('x') }, { k: '1' });
  });
});
