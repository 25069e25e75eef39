/** Archives on the network: DICOMweb (PS3.18) and DIMSE storage (PS3.4 annex B). */
export { authorization } from './auth.js';
export { type ClientOptions, DicomWebClient, isDicomWebAddress, rootOf } from './client.js';
export { PacsError, TransientError } from './error.js';
export { fetchSeries, type FetchOptions } from './fetch-series.js';
export type { ReceivedSeries } from './held.js';
export { type ListenOptions, StorageListener } from './listener.js';
export { findSeries, type FoundSeries, parseQuery, type SeriesQuery } from './query.js';
export { retrieveSeries } from './retrieve.js';
export { storeInstances, type StoreResult } from './store.js';
export { sopInstanceUid } from './sop-instance.js';
