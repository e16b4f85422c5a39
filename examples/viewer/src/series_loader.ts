// An image loader for Cornerstone3D: one gRPC stream brings the frames of a whole series; images wait for theirs.

import { Enums, imageLoader, type Types } from "@cornerstonejs/core";
import {
  RetrieveFramesRequest_Order as Order,
  type RetrieveFramesResponse_Header as FrameHeader,
} from "./contracts/imaging/storage/v1/storage_service_pb.js";
import type { Storage } from "./connection.js";
import type { Header } from "./headers.js";

const SCHEME = "imaging";
const EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"; // storage decodes what is compressed

/** The image id of a frame; `frameNumber` counts from 1. */
export const imageIdOf = (instance: string, frameNumber: number) => `${SCHEME}:${instance}/frames/${frameNumber}`;

/** The frames of one series, as they come. */
export class SeriesLoader {
  private readonly frames = new Map<string, PromiseWithResolvers<Types.IImage>>();

  constructor(
    private readonly storage: Storage,
    private readonly series: string,
    private readonly headers: ReadonlyMap<string, Header>,
  ) {
    for (const imageId of headers.keys()) this.frames.set(imageId, withResolvers());
    imageLoader.registerImageLoader(SCHEME, (imageId) => ({
      promise: this.frames.get(imageId)?.promise ?? Promise.reject(new Error(`No image ${imageId}`)),
    }));
  }

  /** Read the whole series, the middle first; `arrived` is told of each frame. */
  async stream(signal: AbortSignal, arrived: (imageId: string) => void): Promise<void> {
    const asked = {
      series: this.series,
      order: Order.CENTRE_OUT,
      acceptTransferSyntaxUids: [EXPLICIT_LITTLE_ENDIAN],
    };
    let header: FrameHeader | undefined;
    let bytes = new Uint8Array();
    try {
      for await (const part of this.storage.retrieveFrames(asked, { signal })) {
        if (part.header) {
          header = part.header;
          bytes = new Uint8Array(Number(header.sizeBytes));
        }
        if (part.data) bytes.set(part.data.content, Number(part.data.offset));
        if (part.finish && header) {
          const imageId = imageIdOf(header.instance, header.frameNumber);
          const known = this.headers.get(imageId);
          if (known) this.frames.get(imageId)?.resolve(imageOf(imageId, header, bytes.buffer, known));
          arrived(imageId);
        }
      }
    } catch (error) {
      for (const frame of this.frames.values()) frame.reject(error); // of those that have come, nothing changes
      throw error;
    }
  }
}

/** A frame as Cornerstone takes it: stored values, and how they become grey. */
function imageOf(imageId: string, frame: FrameHeader, buffer: ArrayBuffer, header: Header): Types.IImage {
  if (frame.samplesPerPixel !== 1) throw new Error("This example shows grey images only");
  const signed = frame.pixelRepresentation === 1;
  const pixels =
    frame.bitsAllocated > 16 ? (signed ? new Int32Array(buffer) : new Uint32Array(buffer))
    : frame.bitsAllocated > 8 ? (signed ? new Int16Array(buffer) : new Uint16Array(buffer))
    : signed ? new Int8Array(buffer) : new Uint8Array(buffer);
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
    getPixelData: () => pixels as Types.PixelDataTypedArray,
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

interface PromiseWithResolvers<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => ([resolve, reject] = [yes, no]));
  promise.catch(() => undefined); // whoever waits for the image is told
  return { promise, resolve, reject };
}
