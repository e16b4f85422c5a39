// Headers of a series as DICOM JSON, in one compressed answer, and what a viewer wants of them.

import { metaData } from "@cornerstonejs/core";
import { RetrieveMetadataRequest_Format as Format } from "./contracts/imaging/storage/v1/storage_service_pb.js";
import type { Storage } from "./connection.js";

type Model = Record<string, { vr: string; Value?: unknown[] } | undefined>;

/** The headers of a series, sorted by place: along the normal of the images, or else by instance number. */
export async function readHeaders(storage: Storage, series: string): Promise<Header[]> {
  const parts: BlobPart[] = [];
  for await (const answer of storage.retrieveMetadata({ name: series, format: Format.DICOM_JSON_GZIP })) {
    parts.push(answer.content as Uint8Array<ArrayBuffer>);
  }
  const json = new Blob(parts).stream().pipeThrough(new DecompressionStream("gzip"));
  const models: Model[] = await new Response(json).json();
  return models.map((model) => new Header(series, model)).sort((a, b) => a.place - b.place);
}

/** One instance: its attributes by tag. */
export class Header {
  readonly instance: string;

  constructor(series: string, private readonly model: Model) {
    this.instance = `${series}/instances/${this.text("00080018")}`;
  }

  text(tag: string): string | undefined {
    const value = this.model[tag]?.Value?.[0];
    return value === undefined || value === null ? undefined : String(value);
  }

  numbers(tag: string): number[] {
    return (this.model[tag]?.Value ?? []).map(Number);
  }

  number(tag: string): number | undefined {
    return this.numbers(tag)[0];
  }

  /** Of a single-frame image in its series: millimetres along the normal, or else the instance number. */
  get place(): number {
    const [rx = 0, ry = 0, rz = 0, cx = 0, cy = 0, cz = 0] = this.numbers("00200037");
    const [x, y, z] = this.numbers("00200032");
    if (x === undefined || y === undefined || z === undefined) return this.number("00200013") ?? 0;
    return (ry * cz - rz * cy) * x + (rz * cx - rx * cz) * y + (rx * cy - ry * cx) * z;
  }
}

/** Answer Cornerstone's questions about images out of their headers. */
export function tellHeaders(headers: ReadonlyMap<string, Header>): void {
  metaData.addProvider((module: string, imageId: string) => {
    const header = headers.get(imageId);
    return header && modules[module]?.(header);
  }, 1000);
}

const modules: Record<string, (header: Header) => unknown> = {
  generalSeriesModule: (header) => ({ modality: header.text("00080060"), seriesInstanceUID: header.text("0020000E") }),
  imagePlaneModule(header) {
    const orientation = header.numbers("00200037");
    const cosines = orientation.length === 6 ? orientation : [1, 0, 0, 0, 1, 0];
    const [row = 1, column = 1] = header.numbers("00280030");
    const position = header.numbers("00200032");
    return {
      rows: header.number("00280010"),
      columns: header.number("00280011"),
      rowCosines: cosines.slice(0, 3),
      columnCosines: cosines.slice(3),
      imageOrientationPatient: cosines,
      imagePositionPatient: position.length === 3 ? position : [0, 0, 0],
      pixelSpacing: [row, column],
      rowPixelSpacing: row,
      columnPixelSpacing: column,
      frameOfReferenceUID: header.text("00200052"),
    };
  },
  imagePixelModule: (header) => ({
    samplesPerPixel: header.number("00280002"),
    photometricInterpretation: header.text("00280004"),
    rows: header.number("00280010"),
    columns: header.number("00280011"),
    bitsAllocated: header.number("00280100"),
    bitsStored: header.number("00280101"),
    highBit: header.number("00280102"),
    pixelRepresentation: header.number("00280103"),
  }),
  modalityLutModule: (header) => ({
    rescaleSlope: header.number("00281053") ?? 1,
    rescaleIntercept: header.number("00281052") ?? 0,
  }),
  voiLutModule: (header) => ({
    windowCenter: header.numbers("00281050"),
    windowWidth: header.numbers("00281051"),
  }),
};
