import { fileURLToPath } from "node:url";
import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: here("."),
  // Relative addresses: the page works wherever the server, or a proxy before it, mounts it.
  base: "./",
  plugins: [preact({ devToolsEnabled: false, prefreshEnabled: false })],
  build: {
    outDir: here("../dist/web"),
    emptyOutDir: true,
    target: "es2022",
    // The server's content security policy has no inline scripts; the polyfill would be one.
    modulePreload: { polyfill: false },
    // Small images stay files for the same reason: no `data:` addresses.
    assetsInlineLimit: 0,
    // The notices of what is bundled travel with it.
    license: { fileName: "licenses.md" },
  },
  // `npx vite web` beside a running `moescope serve`.
  server: { proxy: { "/api": "http://127.0.0.1:7878" } },
});
