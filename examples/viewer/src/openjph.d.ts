declare module "@cornerstonejs/codec-openjph/wasmjs" {
  export default function openjph(options: { locateFile(): string }): Promise<unknown>;
}
declare module "@cornerstonejs/codec-openjph/wasm?url" {
  const url: string;
  export default url;
}
