/** Which objects a storage listener takes (PS3.4 annex B.5), and what it does with them. */

/** MR images: kept. */
const MR = [
  '1.2.840.10008.5.1.4.1.1.4', // MR Image Storage
  '1.2.840.10008.5.1.4.1.1.4.1', // Enhanced MR Image Storage
  '1.2.840.10008.5.1.4.1.1.4.4', // Legacy Converted Enhanced MR Image Storage
];

/** Structured reports: kept, for the text of their studies. */
const REPORTS = [
  '1.2.840.10008.5.1.4.1.1.88.11', // Basic Text SR
  '1.2.840.10008.5.1.4.1.1.88.22', // Enhanced SR
  '1.2.840.10008.5.1.4.1.1.88.33', // Comprehensive SR
  '1.2.840.10008.5.1.4.1.1.88.34', // Comprehensive 3D SR
];

/**
 * What MR studies often hold beside: taken, so that a sender which stops at the first refused object gets through with
 * the images, and dropped.
 */
const DROPPED = [
  '1.2.840.10008.5.1.4.1.1.7', // Secondary Capture
  '1.2.840.10008.5.1.4.1.1.7.2', // Multi-frame Grayscale Byte Secondary Capture
  '1.2.840.10008.5.1.4.1.1.7.3', // Multi-frame Grayscale Word Secondary Capture
  '1.2.840.10008.5.1.4.1.1.7.4', // Multi-frame True Color Secondary Capture
  '1.2.840.10008.5.1.4.1.1.4.2', // MR Spectroscopy
  '1.2.840.10008.5.1.4.1.1.4.3', // Enhanced MR Color Image
  '1.2.840.10008.5.1.4.1.1.11.1', // Grayscale Softcopy Presentation State
  '1.2.840.10008.5.1.4.1.1.11.2', // Color Softcopy Presentation State
  '1.2.840.10008.5.1.4.1.1.66', // Raw Data
  '1.2.840.10008.5.1.4.1.1.66.1', // Spatial Registration
  '1.2.840.10008.5.1.4.1.1.66.4', // Segmentation
  '1.2.840.10008.5.1.4.1.1.88.59', // Key Object Selection
  '1.2.840.10008.5.1.4.1.1.104.1', // Encapsulated PDF
];

export type Use = 'image' | 'report' | 'dropped';

const USES = new Map<string, Use>([
  ...MR.map((uid) => [uid, 'image'] as const),
  ...REPORTS.map((uid) => [uid, 'report'] as const),
  ...DROPPED.map((uid) => [uid, 'dropped'] as const),
]);

/** What becomes of objects of a SOP class; null where they are not even taken. */
export const useOf = (sopClassUid: string): Use | null => USES.get(sopClassUid) ?? null;
