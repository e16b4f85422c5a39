import { defineConfig } from "vite";

// The page comes from Vite and everything else from the one port, so that both have one origin.
const proxy = { "^/imaging\\..*": { target: process.env.IMAGING_SERVER ?? "http://127.0.0.1:50059" } };

export default defineConfig({
  base: "./",
  server: { proxy },
  preview: { proxy },
  build: { target: "es2022", chunkSizeWarningLimit: 4000 },
});
