/** A DICOM file, or a set of them, that cannot be used; the message says which rule it broke and what to do. */
export class DicomError extends Error {
  override readonly name = 'DicomError';
}
