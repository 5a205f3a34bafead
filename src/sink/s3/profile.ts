/**
 * The shared AWS files: `~/.aws/credentials` and `~/.aws/config`.
 *
 *   [default]                      the credentials file names profiles plainly,
 *   aws_access_key_id = AKIA…
 *   [profile work]                 the config file with the word `profile`, except for `default`
 *   region = eu-west-1
 *
 * A profile is the union of both; the credentials file wins. Files that are not there are empty.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Credentials, Environment } from './identity.ts';

type Settings = Readonly<Record<string, string>>;

/** Keys in a profile that only the SDK's own provider can follow. */
const beyondUs = [
  'sso_session',
  'sso_start_url',
  'role_arn',
  'credential_process',
  'web_identity_token_file',
  'login_session',
];

/** Static credentials of the chosen profile. */
export async function profileCredentials(environment: Environment): Promise<Credentials | undefined> {
  const profile = await readProfile(environment);
  const { aws_access_key_id: accessKeyId, aws_secret_access_key: secretAccessKey } = profile;
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, sessionToken: profile.aws_session_token || undefined };
}

/** The region of the environment (AWS_REGION, AWS_DEFAULT_REGION), else that of the profile. */
export async function defaultRegion(environment: Environment = process.env): Promise<string | undefined> {
  const named = environment.AWS_REGION || environment.AWS_DEFAULT_REGION;
  return named || (await readProfile(environment)).region || undefined;
}

/** True when the environment or the profile asks for SSO, an assumed role, a process or a web identity. */
export async function needsSdk(environment: Environment): Promise<boolean> {
  if (environment.AWS_WEB_IDENTITY_TOKEN_FILE) return true;
  const profile = await readProfile(environment);
  // A role is assumed even with keys beside it; the others count only where there are none.
  if (profile.role_arn) return true;
  return !profile.aws_access_key_id && beyondUs.some((key) => profile[key]);
}

async function readProfile(environment: Environment): Promise<Settings> {
  const name = environment.AWS_PROFILE || 'default';
  const folder = join(environment.HOME || environment.USERPROFILE || homedir(), '.aws');
  const [config, credentials] = await Promise.all([
    readSections(environment.AWS_CONFIG_FILE || join(folder, 'config')),
    readSections(environment.AWS_SHARED_CREDENTIALS_FILE || join(folder, 'credentials')),
  ]);
  const own = config.get(`profile ${name}`) ?? (name === 'default' ? config.get('default') : undefined);
  return { ...own, ...credentials.get(name) };
}

async function readSections(path: string): Promise<ReadonlyMap<string, Settings>> {
  try {
    return parseIni(await readFile(path, 'utf8'));
  } catch (error) {
    if (['ENOENT', 'EACCES', 'ENOTDIR', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return new Map();
    throw error;
  }
}

/** Sections of `key = value`. Comments begin a line with # or ;, or a value's end with a blank before them. */
export function parseIni(text: string): Map<string, Settings> {
  const sections = new Map<string, Record<string, string>>();
  let current: Record<string, string> | undefined;
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*[#;]/.test(line)) continue;
    const section = /^\s*\[\s*([^\]]*?)\s*\]/.exec(line)?.[1];
    if (section !== undefined) {
      const name = section.replace(/^profile\s+["']?(.*?)["']?$/, 'profile $1');
      current = sections.get(name) ?? Object.create(null);
      sections.set(name, current as Record<string, string>);
      continue;
    }
    // An indented line belongs to a nested setting, of which none matters here.
    const setting = /^([^\s=][^=]*?)\s*=\s*(.*)$/.exec(line);
    if (current && setting)
      current[String(setting[1]).toLowerCase()] = String(setting[2])
        .replace(/\s[#;].*$/, '')
        .trim();
  }
  return sections;
}
