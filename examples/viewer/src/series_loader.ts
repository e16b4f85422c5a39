// An image loader for Cornerstone3D: gRPC streams bring the frames of a whole series, all of them small first and then
// the rest of each; images wait for theirs.

import { Enums, imageLoader, type Types } from "@cornerstonejs/core";
import {
  RetrieveFramesRequest_Order as Order,
  type RetrieveFramesResponse_Header as FrameHeader,
} from "./contracts/imaging/storage/v1/storage_service_pb.js";
import type { Storage } from "./connection.js";
import type { Header } from "./headers.js";
import { decodeHtj2k, typed } from "./htj2k.js";

const SCHEME = "imaging";
const PREVIEW = "?preview";
const PREVIEW_LEVEL = 2; // a quarter of the width and height
const HTJ2K_RPCL = "1.2.840.10008.1.2.4.202"; // storage writes it where it is not kept so
const EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1";

/** The image id of a frame; `frameNumber` counts from 1. */
export const imageIdOf = (instance: string, frameNumber: number) => `${SCHEME}:${instance}/frames/${frameNumber}`;

/** The image id of its preview. */
export const previewIdOf = (imageId: string) => `${imageId}${PREVIEW}`;

/** The frames of one series, as they come. */
export class SeriesLoader {
  private readonly images = new Map<string, Arrival>();
  private readonly begun = new Map<string, Uint8Array>();

  constructor(
    private readonly storage: Storage,
    private readonly series: string,
    private readonly headers: ReadonlyMap<string, Header>,
  ) {
    for (const imageId of headers.keys()) this.images.set(imageId, new Arrival());
    imageLoader.registerImageLoader(SCHEME, (imageId) => ({
      promise: this.images.get(imageId)?.promise ?? Promise.reject(new Error(`No image ${imageId}`)),
    }));
  }

  /** Read the whole series twice, the middle first: all in low resolution, then what each lacks. */
  async stream(signal: AbortSignal, arrived: (imageId: string, isPreview: boolean) => void): Promise<void> {
    try {
      for await (const [header, bytes] of this.frames(signal, { resolutionLevel: PREVIEW_LEVEL })) {
        const imageId = imageIdOf(header.instance, header.frameNumber);
        this.begun.set(imageId, bytes);
        await this.resolve(previewIdOf(imageId), header, bytes);
        arrived(imageId, true);
      }
      for await (const [header, rest] of this.frames(signal, { afterResolutionLevel: PREVIEW_LEVEL })) {
        const imageId = imageIdOf(header.instance, header.frameNumber);
        await this.resolve(imageId, header, joined(this.begun.get(imageId)!, rest));
        this.begun.delete(imageId);
        arrived(imageId, false);
      }
    } catch (error) {
      for (const image of this.images.values()) image.reject(error); // of those that have come, nothing changes
      throw error;
    }
  }

  private async *frames(
    signal: AbortSignal,
    levels: { resolutionLevel?: number; afterResolutionLevel?: number },
  ): AsyncGenerator<[FrameHeader, Uint8Array]> {
    const acceptTransferSyntaxUids = [HTJ2K_RPCL, EXPLICIT_LITTLE_ENDIAN];
    const asked = { series: this.series, order: Order.CENTRE_OUT, acceptTransferSyntaxUids, ...levels };
    let header: FrameHeader | undefined;
    let bytes = new Uint8Array();
    for await (const part of this.storage.retrieveFrames(asked, { signal })) {
      if (part.header) {
        header = part.header;
        bytes = new Uint8Array(Number(header.sizeBytes));
      }
      if (part.data && header) bytes.set(part.data.content, Number(part.data.offset - header.firstByte));
      if (part.finish && header) yield [header, bytes];
    }
  }

  private async resolve(imageId: string, frame: FrameHeader, bytes: Uint8Array): Promise<void> {
    const header = this.headers.get(imageId);
    if (!header) return;
    if (frame.samplesPerPixel !== 1) throw new Error("This example shows grey images only");
    const pixels =
      frame.transferSyntaxUid === HTJ2K_RPCL
        ? await decodeHtj2k(bytes, frame.resolutionLevel, frame.rows, frame.columns)
        : typed(bytes.slice().buffer, frame.bitsAllocated, frame.pixelRepresentation === 1);
    this.images.get(imageId)?.resolve(imageOf(imageId, frame, pixels, header));
  }
}

/** A frame as Cornerstone takes it: stored values, and how they become grey. */
function imageOf(imageId: string, frame: FrameHeader, pixels: Types.PixelDataTypedArray, header: Header): Types.IImage {
  let [least, most] = [Infinity, -Infinity];
  for (const value of pixels) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const [slope, intercept] = [header.number("00281053") ?? 1, header.number("00281052") ?? 0];
  const [rowSpacing = 1, columnSpacing = 1] = header.numbers("00280030");
  return {
    imageId,
    minPixelValue: least,
    maxPixelValue: most,
    slope,
    intercept,
    windowCenter: header.number("00281050") ?? ((least + most) / 2) * slope + intercept,
    windowWidth: header.number("00281051") ?? Math.max(1, (most - least) * slope),
    voiLUTFunction: Enums.VOILUTFunctionType.LINEAR,
    getPixelData: () => pixels,
    getCanvas: () => document.createElement("canvas"),
    rows: frame.rows,
    columns: frame.columns,
    height: frame.rows,
    width: frame.columns,
    color: false,
    rgba: false,
    numberOfComponents: 1,
    rowPixelSpacing: rowSpacing,
    columnPixelSpacing: columnSpacing,
    invert: frame.photometricInterpretation === "MONOCHROME1",
    photometricInterpretation: frame.photometricInterpretation,
    sizeInBytes: pixels.byteLength,
    dataType: pixels.constructor.name as Types.PixelDataTypedArrayString,
  };
}

function joined(first: Uint8Array, rest: Uint8Array): Uint8Array {
  const whole = new Uint8Array(first.length + rest.length);
  whole.set(first);
  whole.set(rest, first.length);
  return whole;
}

/** An image that may come later. */
class Arrival {
  resolve!: (image: Types.IImage) => void;
  reject!: (reason: unknown) => void;
  readonly promise = new Promise<Types.IImage>((yes, no) => ([this.resolve, this.reject] = [yes, no]));

  constructor() {
    this.promise.catch(() => undefined); // whoever waits for the image is told
  }
}
