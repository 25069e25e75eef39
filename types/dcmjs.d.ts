/** The part of dcmjs in use by tests; the package has no declarations of its own. */
declare module 'dcmjs' {
  /** Attributes by keyword; of an image, those that tests ask for. */
  export interface NaturalDataset {
    readonly Rows: number;
    readonly Columns: number;
    readonly ImageOrientationPatient: number[];
    readonly ImagePositionPatient: number[];
    readonly SeriesInstanceUID: string;
    readonly SOPInstanceUID: string;
  }
  interface SegmentState {
    readonly labelmapBufferArray: ArrayBuffer[];
    /** Segments from 1 on. */
    readonly segMetadata: {
      readonly seriesInstanceUid: string;
      readonly data: ({ SegmentLabel: string } | undefined)[];
    };
    /** Numbers of the segments on each image; empty places where there are none. */
    readonly segmentsOnFrame: (number[] | undefined)[];
  }
  interface MetadataProvider {
    get(module: string, imageId: string): unknown;
  }
  const dcmjs: {
    readonly data: {
      readonly DicomMessage: { readFile(bytes: ArrayBuffer): { dict: object; meta: object } };
      readonly DicomMetaDictionary: { naturalizeDataset(dict: object): NaturalDataset };
    };
    readonly adapters: {
      readonly Cornerstone: {
        readonly Segmentation: {
          generateToolState(imageIds: string[], bytes: ArrayBuffer, provider: MetadataProvider): SegmentState;
        };
      };
    };
  };
  export default dcmjs;
}
