/** Who Precess says it is to a DICOMweb server. */
import { PacsError } from './error.js';

/**
 * The Authorization header from the environment: PRECESS_DICOMWEB_TOKEN as a bearer token (RFC 6750), or
 * PRECESS_DICOMWEB_USER and PRECESS_DICOMWEB_PASSWORD as basic credentials (RFC 7617); null where none is set. Never
 * from the command line, which other users of the machine can read.
 *
 * @throws PacsError when both kinds are set, one half of the pair is missing, or a value cannot be sent. The message
 * holds none of the values.
 */
export function authorization(env: Readonly<Record<string, string | undefined>>): string | null {
  const token = env.PRECESS_DICOMWEB_TOKEN ?? '';
  const user = env.PRECESS_DICOMWEB_USER ?? '';
  const password = env.PRECESS_DICOMWEB_PASSWORD ?? '';
  if (token !== '') {
    if (user !== '' || password !== '')
      throw new PacsError(
        'DICOMweb credentials: either PRECESS_DICOMWEB_TOKEN or PRECESS_DICOMWEB_USER and PRECESS_DICOMWEB_PASSWORD ' +
          'may be set, got both; unset one of them',
      );
    if (!/^[\x21-\x7e]+$/.test(token))
      throw new PacsError(
        'DICOMweb credentials: PRECESS_DICOMWEB_TOKEN must be printable ASCII without spaces; check how it was set',
      );
    return `Bearer ${token}`;
  }
  if (user === '' && password === '') return null;
  if (user === '' || password === '')
    throw new PacsError(
      'DICOMweb credentials: PRECESS_DICOMWEB_USER and PRECESS_DICOMWEB_PASSWORD go together, got only one; set both',
    );
  if (user.includes(':'))
    throw new PacsError(
      'DICOMweb credentials: PRECESS_DICOMWEB_USER must have no colon (RFC 7617 section 2)',
    );
  return `Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`;
}
