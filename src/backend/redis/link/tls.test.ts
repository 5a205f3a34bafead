/** The server's side of TLS is Node's own here, in front of a plain server: not every Redis is built with TLS. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { isError } from '../../../errors.ts';
import { type RedisServer, startRedis } from '../../../testing/redis.ts';
import { makeLink } from './link.ts';

const noOpenssl =
  spawnSync('openssl', ['version']).status === 0 ? false : 'openssl, which makes the certificates, is not installed';

describe('a link with TLS', { skip: noOpenssl }, () => {
  let folder: string;
  let server: RedisServer;
  let front: Server;
  const open = new Set<TLSSocket>();
  let wantsCertificate = false;
  const pathOf = (name: string) => encodeURIComponent(join(folder, name));
  const url = (query: string) => `rediss://localhost:${(front.address() as AddressInfo).port}?${query}`;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'));
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    execFileSync('openssl', ['req', '-x509', ...kind, ...name, '-keyout', key, '-out', cert], { stdio: 'ignore' });
    server = await startRedis();
    // Its one certificate is also the authority that it believes.
    const own = { key: readFileSync(key), cert: readFileSync(cert), ca: readFileSync(cert) };
    front = createServer({ ...own, requestCert: true, rejectUnauthorized: false }, (socket) => {
      open.add(socket);
      const back = connect(server.port, '127.0.0.1');
      socket.on('error', () => back.destroy()).on('close', () => open.delete(socket) && back.destroy());
      back.on('error', () => socket.destroy()).on('close', () => socket.destroy());
      if (socket.authorized || !wantsCertificate) socket.pipe(back).pipe(socket);
      else socket.destroy();
    });
    front.listen(0, 'localhost');
    await once(front, 'listening');
  });
  after(async () => {
    for (const socket of open) socket.destroy();
    front.close();
    await once(front, 'close');
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  it('works with the authority that the address names', async () => {
    const link = makeLink(url(`ca=${pathOf('cert.pem')}`));
    await link.open();
    assert.equal(await link.command(undefined, ['PING']), 'PONG');
    await link.close();
  });

  it('refuses a certificate of nobody it knows, or of another host, unless told not to', async () => {
    const unknown = makeLink(url(''));
    await assert.rejects(
      unknown.open(),
      (error) => isError(error, 'BACKEND_UNAVAILABLE') && /certificate/.test(error.message),
    );
    await unknown.close();
    const other = makeLink(url(`ca=${pathOf('cert.pem')}&servername=elsewhere`));
    await assert.rejects(
      other.open(),
      (error) => isError(error, 'BACKEND_UNAVAILABLE') && /elsewhere/.test(error.message),
    );
    await other.close();
    const careless = makeLink(url('rejectUnauthorized=0'));
    await careless.open();
    await careless.close();
  });

  it('shows its own certificate', async () => {
    wantsCertificate = true;
    const nobody = makeLink(url(`ca=${pathOf('cert.pem')}`));
    await assert.rejects(nobody.open(), (error) => isError(error, 'BACKEND_UNAVAILABLE'));
    await nobody.close();
    const link = makeLink(url(`ca=${pathOf('cert.pem')}&cert=${pathOf('cert.pem')}&key=${pathOf('key.pem')}`));
    await link.open();
    assert.equal(await link.command(undefined, ['PING']), 'PONG');
    await link.close();
    wantsCertificate = false;
  });

  it('names the file that it cannot read', async () => {
    const link = makeLink(url(`ca=${pathOf('none.pem')}`));
    await assert.rejects(
      link.open(),
      (error) => isError(error, 'BACKEND_UNAVAILABLE') && /none\.pem/.test(error.message),
    );
    await link.close();
  });
});
