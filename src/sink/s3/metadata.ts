/**
 * Credentials that the surroundings lend: a container's (ECS, EKS Pod Identity) and an EC2 instance's (IMDSv2).
 *
 * Both are small JSON documents over HTTP from a link-local address, which answers at once or does not exist: hence a
 * short patience and no retry. `undefined` means that this is no such place; an answer that is not usable throws.
 */
import { readFile } from 'node:fs/promises';
import { MillraceError } from '../../errors.ts';
import type { Credentials, Environment } from './identity.ts';

const PATIENCE = 1_000;
const ECS_ENDPOINT = 'http://169.254.170.2';
const IMDS_ENDPOINT = 'http://169.254.169.254';
/** Hosts to which a token may be sent without TLS: this machine, and the addresses of ECS and EKS. */
const LINK_LOCAL = ['localhost', '127.0.0.1', '[::1]', '169.254.170.2', '169.254.170.23', '[fd00:ec2::23]'];

export async function fromContainer(environment: Environment): Promise<Credentials | undefined> {
  const relative = environment.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI;
  const full = environment.AWS_CONTAINER_CREDENTIALS_FULL_URI;
  if (!relative && !full) return undefined;
  const url = new URL(relative ? ECS_ENDPOINT + relative : String(full));
  if (url.protocol !== 'https:' && !LINK_LOCAL.includes(url.hostname)) {
    const expected = 'an https address, or one of this host';
    throw new MillraceError('OPTION_INVALID', {
      option: 'AWS_CONTAINER_CREDENTIALS_FULL_URI',
      expected,
      got: url.host,
    });
  }
  const file = environment.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE;
  const token = file ? (await readFile(file, 'utf8')).trim() : environment.AWS_CONTAINER_AUTHORIZATION_TOKEN;
  return parse(await ask(url, { headers: token ? { authorization: token } : {} }), 'container');
}

export async function fromInstance(environment: Environment): Promise<Credentials | undefined> {
  if (environment.AWS_EC2_METADATA_DISABLED?.toLowerCase() === 'true') return undefined;
  const endpoint = environment.AWS_EC2_METADATA_SERVICE_ENDPOINT || IMDS_ENDPOINT;
  const at = (path: string) => new URL(path, endpoint);
  const ttl = { 'x-aws-ec2-metadata-token-ttl-seconds': '21600' };
  const token = await ask(at('/latest/api/token'), { method: 'PUT', headers: ttl }).catch(() => undefined);
  if (!token) return undefined; // not on EC2
  const headers = { 'x-aws-ec2-metadata-token': token };
  const path = '/latest/meta-data/iam/security-credentials/';
  const role = await ask(at(path), { headers }).catch(() => undefined);
  if (!role) return undefined; // an instance without a role
  return parse(await ask(at(path + role.trim()), { headers }), 'instance');
}

async function ask(url: URL, init: RequestInit): Promise<string> {
  try {
    const response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(PATIENCE) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${url.host} answered ${response.status}`);
    return text;
  } catch (cause) {
    throw away(`credentials from ${url.host} could not be fetched`, cause);
  }
}

function parse(text: string, source: string): Credentials {
  let document: Record<string, unknown> = {};
  try {
    document = JSON.parse(text);
  } catch {
    // falls through to the missing keys
  }
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = document;
  if (typeof AccessKeyId !== 'string' || typeof SecretAccessKey !== 'string') {
    throw away(`the ${source} gave no usable credentials`);
  }
  const expiration = typeof Expiration === 'string' ? new Date(Expiration) : undefined;
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: typeof Token === 'string' ? Token : undefined,
    expiration: expiration && !Number.isNaN(expiration.getTime()) ? expiration : undefined,
  };
}

function away(reason: string, cause?: unknown): MillraceError {
  return new MillraceError('SINK_AWAY', { trouble: 'blocked', reason }, { cause });
}
