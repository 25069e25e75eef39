/** One association of the storage listener: what is negotiated, received and answered. */
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import dimse from 'dcmjs-dimse';
import { codingOf } from '../formats/dicom/syntax.js';
import type { HeldSeries } from './held.js';
import { dicomFile } from './part10.js';
import { PduGuard } from './pdu-guard.js';
import { type Identity, identityOf } from './sop-instance.js';
import { useOf } from './storage-classes.js';

const { PresentationContextResult, RejectReason, RejectResult, RejectSource, SopClass, Status } =
  dimse.constants;

type PresentationContext = InstanceType<typeof dimse.association.PresentationContext>;
type Association = InstanceType<typeof dimse.association.Association>;
type CStoreRequest = InstanceType<typeof dimse.requests.CStoreRequest>;
type CStoreResponse = InstanceType<typeof dimse.responses.CStoreResponse>;
type CEchoRequest = InstanceType<typeof dimse.requests.CEchoRequest>;
type CEchoResponse = InstanceType<typeof dimse.responses.CEchoResponse>;

/** Statuses of C-STORE (PS3.4 table B.2-1) that the library does not name. */
const OUT_OF_RESOURCES = 0xa700;
const DATA_SET_MISMATCH = 0xa900;
const CANNOT_UNDERSTAND = 0xc000;
const ELEMENTS_DISCARDED = 0xb006;

/** What is announced as the longest unit that may be sent (PS3.8 annex D.1). */
const PDU_BYTES = 256 * 1024;
/** Above this share of the memory, answers wait for room. */
const CROWDED = 0.75;
const ROOM_WAIT_MS = 20_000;
const IMPLICIT_LITTLE = '1.2.840.10008.1.2';

export interface Counts {
  associations: number;
  /** Associations that were rejected. */
  refused: number;
  received: number;
  /** Instances that are no MR images and no reports. */
  dropped: number;
  failed: number;
}

export interface StorageAssociationOptions {
  readonly aet: string;
  readonly allowAets: readonly string[] | null;
  readonly held: HeldSeries;
  readonly counts: Counts;
  readonly isFull: () => boolean;
  readonly isClosing: () => boolean;
  readonly silenceMs: number;
  readonly greetingMs: number;
}

/** Where an instance's data set is gathered, as long as there is room. */
class Arrival extends Writable {
  readonly chunks: Buffer[] = [];
  bytes = 0;
  overflown = false;

  constructor(
    private readonly held: HeldSeries,
    private readonly keep: boolean,
    private readonly onBytes: () => void,
  ) {
    // The library does not wait for a stream that asks it to, so this one never does.
    super({ highWaterMark: Number.MAX_SAFE_INTEGER, decodeStrings: false });
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.onBytes();
    if (this.keep && !this.overflown) {
      if (this.held.reserve(chunk.length)) {
        this.chunks.push(chunk);
        this.bytes += chunk.length;
      } else {
        this.discard();
        this.overflown = true;
      }
    }
    done();
  }

  /** Lets go of what was gathered. */
  discard(): void {
    this.held.release(this.bytes);
    this.bytes = 0;
    this.chunks.length = 0;
  }
}

export class StorageAssociation extends dimse.Scp {
  private readonly guard = new PduGuard();
  private readonly arrivals = new WeakMap<
    CStoreRequest,
    { arrival: Arrival; context: PresentationContext }
  >();
  private current: Arrival | null = null;
  private readonly greeting: NodeJS.Timeout;

  constructor(
    private readonly connection: Socket,
    private readonly rules: StorageAssociationOptions,
  ) {
    // Before the library's own listener, so that it never gathers what the guard refuses.
    const early: { guard: PduGuard | null } = { guard: null };
    connection.prependListener('data', (chunk: Buffer) => {
      if (early.guard?.accepts(chunk) === false) connection.destroy();
    });
    super(connection, { connectTimeout: rules.silenceMs, pduTimeout: rules.silenceMs });
    early.guard = this.guard;
    this.greeting = setTimeout(() => connection.destroy(), rules.greetingMs);
    this.on('networkError', () => connection.destroy());
    connection.on('close', () => {
      clearTimeout(this.greeting);
      this.current?.discard();
      this.current = null;
    });
  }

  override associationRequested(association: Association): void {
    clearTimeout(this.greeting);
    this.guard.claim();
    const { counts } = this.rules;
    const rejection = this.rejection(association);
    if (rejection !== null) {
      counts.refused++;
      this.sendAssociationReject(...rejection);
      this.connection.end();
      return;
    }
    for (const { context } of contextsOf(association)) negotiate(context);
    // 0 would tell the caller that its units may have any length.
    association.setMaxPduLength(PDU_BYTES);
    counts.associations++;
    this.sendAssociationAccept();
  }

  /** Result, source and reason (PS3.8 section 9.3.4); null where the association is accepted. */
  private rejection(association: Association): [number, number, number] | null {
    const { Permanent, Transient } = RejectResult;
    const { ServiceProviderPresentation, ServiceUser } = RejectSource;
    const { aet, allowAets, isFull, isClosing } = this.rules;
    if (isFull() || isClosing())
      return [Transient, ServiceProviderPresentation, RejectReason.LocalLimitExceeded];
    if (association.getCalledAeTitle().trim() !== aet)
      return [Permanent, ServiceUser, RejectReason.CalledAeNotRecognized];
    if (allowAets !== null && !allowAets.includes(association.getCallingAeTitle().trim()))
      return [Permanent, ServiceUser, RejectReason.CallingAeNotRecognized];
    return null;
  }

  override associationReleaseRequested(): void {
    this.sendAssociationReleaseResponse();
    this.connection.end();
  }

  override abort(): void {
    this.connection.end();
  }

  override cEchoRequest(request: CEchoRequest, callback: (response: CEchoResponse) => void): void {
    this.guard.claim();
    const response = dimse.responses.CEchoResponse.fromRequest(request);
    response.setStatus(Status.Success);
    callback(response);
  }

  override createStoreWritableStream(context: PresentationContext, request: CStoreRequest): Writable {
    const keep = useOf(request.getAffectedSopClassUid()) !== 'dropped' && !this.rules.isClosing();
    const arrival = new Arrival(this.rules.held, keep, () => this.guard.claim());
    this.arrivals.set(request, { arrival, context });
    this.current = arrival;
    return arrival;
  }

  override createDatasetFromStoreWritableStream(
    _writable: Writable,
    _context: PresentationContext,
    callback: (dataset: never) => void,
  ): void {
    // The bytes are kept as they came; the library is spared from parsing them.
    callback(undefined as never);
  }

  override cStoreRequest(request: CStoreRequest, callback: (response: CStoreResponse) => void): void {
    this.guard.claim();
    this.current = null;
    const [status, comment] = this.take(request);
    const response = dimse.responses.CStoreResponse.fromRequest(request);
    response.setStatus(status);
    if (comment !== '') response.setErrorComment(comment);
    const { held } = this.rules;
    // A sender that has to wait for its answer sends nothing meanwhile.
    void held.until(() => !held.isCrowded(CROWDED), ROOM_WAIT_MS).then(() => callback(response));
  }

  /** Keeps the instance of a request, or not: the status of the answer, and a comment of at most 64 characters. */
  private take(request: CStoreRequest): [status: number, comment: string] {
    const { held, counts, isClosing } = this.rules;
    const sopClassUid = request.getAffectedSopClassUid();
    const found = this.arrivals.get(request);
    const fail = (status: number, comment: string): [number, string] => {
      found?.arrival.discard();
      counts.failed++;
      return [status, comment];
    };
    if (found === undefined) return fail(CANNOT_UNDERSTAND, 'there is no data set');
    const { arrival, context } = found;
    if (isClosing()) return fail(OUT_OF_RESOURCES, 'the listener is closing');
    if (context.getAbstractSyntaxUid() !== sopClassUid || useOf(sopClassUid) === null)
      return fail(DATA_SET_MISMATCH, 'the SOP class is not that of the context');
    if (useOf(sopClassUid) === 'dropped') {
      counts.dropped++;
      return [ELEMENTS_DISCARDED, 'no MR image and no report: not kept'];
    }
    if (arrival.overflown) return fail(OUT_OF_RESOURCES, 'no memory left, send it again later');
    const transferSyntaxUid = context.getAcceptedTransferSyntaxUid() ?? IMPLICIT_LITTLE;
    const sopInstanceUid = request.getAffectedSopInstanceUid();
    const file = dicomFile({ sopClassUid, sopInstanceUid, transferSyntaxUid }, arrival.chunks);
    let identity: Identity;
    try {
      identity = identityOf(file);
    } catch {
      return fail(CANNOT_UNDERSTAND, 'the data set cannot be read');
    }
    if (identity.sopClassUid !== sopClassUid || identity.sopInstanceUid !== sopInstanceUid)
      return fail(DATA_SET_MISMATCH, 'the data set is another instance than announced');
    if (identity.seriesUid === '' || identity.studyUid === '')
      return fail(CANNOT_UNDERSTAND, 'it names no series or no study');
    arrival.discard();
    if (!held.reserve(file.length)) return fail(OUT_OF_RESOURCES, 'no memory left, send it again later');
    held.add({ ...identity, use: useOf(sopClassUid) === 'report' ? 'report' : 'image' }, file, this);
    counts.received++;
    return [Status.Success, ''];
  }
}

function contextsOf(association: Association): { context: PresentationContext }[] {
  return association
    .getPresentationContexts()
    .map(({ id }: { id: number }) => ({ context: association.getPresentationContext(id) }));
}

/** Of the transfer syntaxes that the caller proposes, in its order, the first that Precess reads: images come as they are. */
function negotiate(context: PresentationContext): void {
  const abstract = context.getAbstractSyntaxUid();
  if (abstract !== SopClass.Verification && useOf(abstract) === null) {
    context.setResult(PresentationContextResult.RejectAbstractSyntaxNotSupported);
    return;
  }
  const syntax = context.getTransferSyntaxUids().find((uid) => codingOf(uid) !== null);
  if (syntax === undefined) context.setResult(PresentationContextResult.RejectTransferSyntaxesNotSupported);
  else context.setResult(PresentationContextResult.Accept, syntax);
}
