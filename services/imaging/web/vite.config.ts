import { defineConfig } from "vitest/config";

// The service allows nothing inline and nothing from elsewhere (Content-Security-Policy: default-src 'self'),
// so every asset stays a file and no helper script is put into the page.
export default defineConfig({
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { "/api": "http://127.0.0.1:8642" } },
  test: { include: ["test/**/*.test.ts"] },
});
