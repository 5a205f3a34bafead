/** Who we are to AWS, and where that may be written. */

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  /** When they end. Never, if left out. */
  readonly expiration?: Date | undefined;
}

/** Fetches credentials; any provider of the AWS SDK fits. Called again before they expire. */
export type CredentialProvider = () => Promise<Credentials>;

/** Environment variables, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;
