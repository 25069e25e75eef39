/** Labels of every voxel of an image of any size, window by window. */
import { Graph } from '../../graph/index.js';
import { Encoder, flatten } from '../../models/encoder.js';
import { clickShape, type ClickShape } from '../../models/segment-clicks.js';
import { segmentDecoder, WINDOW_STEP, windowInputs } from '../../models/segment-decoder.js';
import { Params, type Scope } from '../../nn/index.js';
import { openDevice, type Device, type Program } from '../../runtime/index.js';
import { apply, invert } from '../../volume/affine.js';
import { axisCodes, reorient } from '../../volume/orientation.js';
import { Prepared } from '../../volume/tokens.js';
import type { Vec3, Volume } from '../../volume/volume.js';
import { adaptedNumbers } from './adapt.js';
import { Blend, finishedNumbers, gaussian, windowStarts } from './blend.js';
import { clickAdditions, type Click, type PlacedClick, placeClick } from './clicks.js';
import type { SegmentHead } from './head-file.js';
import { mirrorImage, mirrorRows, segmentImage, type SegmentImage } from './image.js';
import { mirrored } from './labels.js';
import { tokensOf } from './scene.js';
import { blocksOf, eachInside, orderOf, readOf, tokenFeed, windowFeeds, type Read } from './window.js';

export interface SegmentOptions {
  /** Looks at the image so many ways (as it is, in a mirror, with tokens cut elsewhere) and takes the mean. 1 unless said. */
  readonly ensemble?: number;
  /** Share of a window that it has in common with the next. 0.25 unless said. */
  readonly overlap?: number;
  readonly clicks?: readonly Click[];
  /** Whether labels are told once more by the intensities of the image, see {@link adaptedNumbers}; as the head says unless said. */
  readonly adapt?: boolean;
  /** Numbers of the labels to keep; all unless said. */
  readonly only?: readonly number[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** One way of looking at an image. */
interface Member {
  readonly image: SegmentImage;
  readonly read: Read;
  readonly mirror: readonly number[] | null;
}

/** Token grids of further looks are shifted by these shares of a token. */
const SHIFTS: readonly Vec3[] = [
  [0, 0, 0],
  [0.5, 0.5, 0.5],
  [0.5, 0, 0],
  [0, 0.5, 0.5],
];
/** Programs are made for multiples of so many tokens. */
const TOKEN_STEP = 128;

export class Segmenter {
  private readonly programs = new Map<string, Promise<Program>>();
  private readonly params: Params;
  private readonly weights: Float32Array;
  private readonly click: ClickShape;

  private constructor(
    readonly head: SegmentHead,
    private readonly encoder: Encoder,
    private readonly device: Device,
  ) {
    this.params = Params.collect((graph, scope) => void this.build(graph, scope, [8, 8, 8], 4));
    this.weights = flatten(this.params, new Map(head.tensors));
    this.click = clickShape((name) => head.tensors.get(`segment.clicks.${name}`)!.data[0]!);
  }

  static async open(head: SegmentHead, options: { readonly threads?: number } = {}): Promise<Segmenter> {
    const encoder = await Encoder.open(head.model, options);
    const device = await openDevice({ kind: 'cpu', ...options });
    return new Segmenter(head, encoder, device);
  }

  async close(): Promise<void> {
    await this.device.close();
    await this.encoder.close();
  }

  /**
   * Segments one image. Windows overlap; their probabilities are weighted by a Gaussian about each window's middle, as
   * MONAI's sliding window does. Voxels that were not measured are background.
   * @returns label values on the image's own grid and in its own order.
   * @throws VolumeError, TaskError for an image that holds nothing, or a click outside of it.
   */
  async segment(volume: Volume, options: SegmentOptions = {}): Promise<Volume> {
    const { labels } = this.head;
    const image = segmentImage(volume, this.head);
    const numbers = await this.numbers(image, volume, options);
    const { only } = options;
    const wide = Math.max(...labels.values) > 255;
    const data = wide ? new Uint16Array(numbers.length) : new Uint8Array(numbers.length);
    const value = labels.values.map((one, n) => (only === undefined || only.includes(n) ? one : 0));
    for (let n = 0; n < data.length; n++) if (image.source.valid?.[n] !== 0) data[n] = value[numbers[n]!]!;
    const { shape, affine } = image.source;
    return reorient({ data, shape, affine, slope: 1, intercept: 0, valid: null }, axisCodes(volume.affine));
  }

  /** The number of each voxel's label on the grid of the source in RAS order. */
  private async numbers(image: SegmentImage, volume: Volume, options: SegmentOptions): Promise<Uint8Array> {
    const { ensemble = 1, overlap = 0.25, clicks = [], signal, onProgress } = options;
    const { decoder } = this.head;
    const { adapt = this.head.adapts } = options;
    const side = this.head.side.map((n, d) =>
      Math.min(n, WINDOW_STEP * Math.ceil(image.shape[d as 0] / WINDOW_STEP)),
    ) as unknown as Vec3;
    const members = await this.members(image, volume, ensemble);
    const placed: PlacedClick[] = [];
    for (const click of clicks) {
      const start = placeClick(click, image, side);
      placed.push({ ...start, ...(await this.look(members[0]!, start.start, side, start)) });
    }
    const order = orderOf(side);
    const weight = gaussian(side);
    const blend = new Blend(image, decoder.labels, side, adapt || undefined);
    const starts = windowStarts(image.shape, side, overlap);
    let done = 0;
    for (const start of starts) {
      if (signal?.aborted) break;
      for (const [m, member] of members.entries()) {
        const from = member.mirror === null ? start : mirroredStart(start, side, image.shape);
        const found = await this.run(member, from, side, placed.length > 0 && m === 0);
        if (found === null) continue;
        const additions = clickAdditions(placed, this.click, { image, start, side, order }, found.features);
        this.gather(blend, { ...member, logits: found.logits }, { start, side, order, weight }, additions);
      }
      onProgress?.(++done, starts.length);
    }
    const numbers = adapt ? adaptedNumbers(blend, image) : finishedNumbers(blend, image);
    for (const { click, logits } of placed) {
      // What a person says of a voxel holds there, whatever is made of it elsewhere.
      const [i, j, k] = apply(invert(image.source.affine), click.pointMm).map(Math.round) as unknown as Vec3;
      const [ni, nj] = image.source.shape;
      numbers[i + ni * (j + nj * k)] = click.label ?? logits.indexOf(Math.max(...logits));
    }
    return numbers;
  }

  private gather(
    blend: Blend,
    { image, mirror, logits }: Member & { readonly logits: Float32Array },
    { start, side, order, weight }: { start: Vec3; side: Vec3; order: Int32Array; weight: Float32Array },
    additions: ReadonlyMap<number, Float32Array>,
  ): void {
    const count = this.head.decoder.labels;
    const p = new Float32Array(count);
    eachInside(image, start, side, (inWindow, inImage) => {
      const i = inWindow % side[0];
      const at = order[mirror === null ? inWindow : inWindow - i + side[0] - 1 - i]! * count;
      let top = -Infinity;
      for (let l = 0; l < count; l++) {
        const own = mirror === null ? l : mirror[l]!;
        p[l] = logits[at + own]! + (additions.get(l)?.[inWindow] ?? 0);
        if (p[l]! > top) top = p[l]!;
      }
      let sum = 0;
      for (let l = 0; l < count; l++) sum += p[l] = Math.exp(p[l]! - top);
      for (let l = 0; l < count; l++) p[l]! *= weight[inWindow]! / sum;
      blend.add(inImage, start[2], p);
    });
  }

  private async members(image: SegmentImage, volume: Volume, count: number): Promise<Member[]> {
    const { patchMm, maxTokens, labels, mirrors } = this.head;
    const mirror = mirrors ? mirrored(labels.names) : null;
    const samples = this.encoder.config.samples;
    let reflected: SegmentImage | null = null;
    const members: Member[] = [];
    for (let n = 0; n < count; n++) {
      const isMirror = mirror !== null && n % 2 === 1;
      const turn = mirror === null ? n : n >> 1;
      const share = SHIFTS[turn % SHIFTS.length]!;
      if (isMirror)
        reflected ??= {
          ...image,
          values: mirrorRows(image.values, image.shape[0]),
          ranks: mirrorRows(image.ranks, image.shape[0]),
          weight: image.weight && mirrorRows(image.weight, image.shape[0]),
          prepared: new Prepared(mirrorImage(volume)),
        };
      const seen = isMirror ? reflected! : image;
      const first = tokensOf(seen, { patchMm, maxTokens, samples });
      const shift = share.map((s) => s * first.patchMm) as unknown as Vec3;
      const set = turn === 0 ? first : tokensOf(seen, { patchMm: first.patchMm, maxTokens, samples }, shift);
      const [features] = await this.encoder.features([set]);
      members.push({ image: seen, read: readOf(set, features!.tokens), mirror: isMirror ? mirror : null });
    }
    return members;
  }

  /** Logits and features of one window; null where no token reaches into it: air. */
  private async run(
    { image, read }: Member,
    start: Vec3,
    side: Vec3,
    wantFeatures: boolean,
  ): Promise<{ logits: Float32Array; features: Float32Array | null } | null> {
    const length = TOKEN_STEP * Math.ceil(read.set.count / TOKEN_STEP);
    const window = [{ image, read, start }];
    const feeds = windowFeeds(window, side, length, this.head.decoder.intensities);
    if (!(feeds['window.read'] as Float32Array).some((w) => w > 0)) return null;
    const program = await this.program(side, length);
    const fetch = wantFeatures ? ['logits', 'features'] : ['logits'];
    const tokens = tokenFeed(window, length, this.head.decoder.embedDim);
    const found = await program.run({ ...feeds, 'window.tokens': tokens }, { fetch });
    return {
      logits: found.logits as Float32Array,
      features: (found.features as Float32Array | undefined) ?? null,
    };
  }

  /** What is seen at the voxel clicked on. @throws TaskError in air, where there is nothing to see. */
  private async look(member: Member, start: Vec3, side: Vec3, { inWindow }: { readonly inWindow: number }) {
    const found = await this.run(member, start, side, true);
    const { labels, voxelFeatures } = this.head.decoder;
    const at = orderOf(side)[inWindow]!;
    return {
      logits: found?.logits.slice(at * labels, (at + 1) * labels) ?? new Float32Array(labels),
      features:
        found?.features?.slice(at * voxelFeatures, (at + 1) * voxelFeatures) ??
        new Float32Array(voxelFeatures),
    };
  }

  private program(side: Vec3, length: number): Promise<Program> {
    const key = `${side.join('x')} ${length}`;
    let program = this.programs.get(key);
    if (program === undefined) {
      const graph = new Graph('segment');
      const { logits, features } = this.build(
        graph,
        this.params.bindConstants(graph, this.weights),
        side,
        length,
      );
      graph.output('logits', logits);
      graph.output('features', features);
      program = this.device.load(graph);
      this.programs.set(key, program);
    }
    return program;
  }

  private build(graph: Graph, scope: Scope, side: Vec3, length: number) {
    const { decoder } = this.head;
    const tokens = graph.input('window.tokens', 'float32', [1, length, decoder.embedDim]);
    const inputs = { ...windowInputs(graph, decoder, 1, blocksOf(side), length), tokens };
    return segmentDecoder(scope.child('segment'), decoder, inputs);
  }
}

/** Where a window lies in the mirror. */
const mirroredStart = (start: Vec3, side: Vec3, shape: Vec3): Vec3 => [
  shape[0] - side[0] - start[0],
  start[1],
  start[2],
];
