/**
 * Where AWS credentials come from, in the order of the AWS tools:
 *
 *   1. environment         AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   2. profile             ~/.aws/credentials and ~/.aws/config, AWS_PROFILE or `default`
 *   3. container           ECS and EKS: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI
 *   4. instance            EC2: the metadata service, version 2
 *
 * The four are here in full, without a package. A profile or environment that asks for more (SSO, a role to assume, a
 * process, a web identity) is left to the package `@aws-sdk/credential-provider-node`, when it is installed;
 * PEER_MISSING says so when it is not.
 *
 * `CredentialCache` keeps what was found, fetches anew five minutes before it expires, once for all who ask.
 */
import type { Clock } from '../../clock.ts';
import { systemClock } from '../../clock.ts';
import { isError, MillraceError } from '../../errors.ts';
import type { CredentialProvider, Credentials, Environment } from './identity.ts';
import { fromContainer, fromInstance } from './metadata.ts';
import { needsSdk, profileCredentials } from './profile.ts';

const REFRESH_BEFORE = 5 * 60_000;
/** Between refreshes, at least. */
const REFRESH_AGAIN_AFTER = 30_000;

export class CredentialCache {
  readonly #provider: CredentialProvider;
  readonly #clock: Clock;
  #current: Credentials | undefined;
  #refreshAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<Credentials> | undefined;

  constructor(provider: CredentialProvider, clock: Clock = systemClock) {
    this.#provider = provider;
    this.#clock = clock;
  }

  /** What is known and not about to expire, without waiting. */
  get fresh(): Credentials | undefined {
    return this.#clock.now() < this.#refreshAt ? this.#current : undefined;
  }

  /** Current credentials. While old ones still hold, a refresh that fails is not an error. */
  async get(): Promise<Credentials> {
    if (this.fresh) return this.fresh;
    const held = this.#current;
    try {
      return await this.#fetch();
    } catch (error) {
      if (!held || expires(held) <= this.#clock.now()) throw error;
      this.#hold(held);
      return held;
    }
  }

  /** Credentials other than `stale`, which the store called expired; fetched once for all who hold the same. */
  async replace(stale: Credentials): Promise<Credentials> {
    if (this.#current !== stale) return this.get();
    return this.#fetch();
  }

  #fetch(): Promise<Credentials> {
    this.#fetching ??= this.#provider()
      .then((credentials) => {
        this.#hold(credentials);
        return credentials;
      })
      .finally(() => {
        this.#fetching = undefined;
      });
    return this.#fetching;
  }

  #hold(credentials: Credentials): void {
    this.#current = credentials;
    const end = expires(credentials);
    // Those that live for minutes only would else be fetched for every put.
    const soonest = this.#clock.now() + REFRESH_AGAIN_AFTER;
    this.#refreshAt = Math.min(end, Math.max(end - REFRESH_BEFORE, soonest));
  }
}

function expires(credentials: Credentials): number {
  return credentials.expiration?.getTime() ?? Number.POSITIVE_INFINITY;
}

/** The chain of the docblock. Rejects with CREDENTIALS_MISSING, naming what was tried. */
export function defaultProvider(environment: Environment = process.env): CredentialProvider {
  let sdk: CredentialProvider | undefined;
  return async () => {
    if (sdk) return sdk();
    const tried: string[] = [];
    for (const [name, source] of sources) {
      const found = await source(environment);
      if (found === 'sdk') {
        sdk = await sdkProvider();
        return sdk();
      }
      if (found) return found;
      tried.push(name);
    }
    throw new MillraceError('CREDENTIALS_MISSING', { tried });
  };
}

type Source = (environment: Environment) => Promise<Credentials | 'sdk' | undefined>;

const sources: readonly (readonly [name: string, source: Source])[] = [
  ['environment', async (environment) => fromEnvironment(environment)],
  ['profile', async (environment) => ((await needsSdk(environment)) ? 'sdk' : profileCredentials(environment))],
  ['container', fromContainer],
  ['instance', fromInstance],
];

function fromEnvironment(environment: Environment): Credentials | undefined {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment;
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, sessionToken: environment.AWS_SESSION_TOKEN || undefined };
}

async function sdkProvider(): Promise<CredentialProvider> {
  const name = '@aws-sdk/credential-provider-node';
  try {
    const sdk = (await import(name)) as { defaultProvider(): CredentialProvider };
    return sdk.defaultProvider();
  } catch (cause) {
    if (isError(cause, 'PEER_MISSING')) throw cause;
    const purpose = 'an AWS profile with SSO, an assumed role, a process or a web identity';
    throw new MillraceError('PEER_MISSING', { package: name, purpose }, { cause });
  }
}
