// Builds the live page into the Python package: node build.mjs [output folder]
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "../../edgenode/telemetry/live"));
const options = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  write: false,
  charset: "utf8",
  legalComments: "none", // LICENSES.txt has them, whole
  outdir: out,
};
const { outputFiles, metafile } = await build({
  ...options,
  entryPoints: { app: "src/main.ts" },
  metafile: true,
  platform: "browser",
  format: "iife",
  target: "es2022",
  define: { global: "globalThis" },
  inject: ["shims/globals.js"],
  alias: { debug: "./shims/debug.cjs", "worker-timers": "./shims/worker_timers.js" },
});
const styles = await build({ ...options, entryPoints: ["app.css"], target: ["chrome123", "firefox120", "safari17.5"] });
const script = outputFiles[0].text;
const style = styles.outputFiles[0].text;

// A changed file gets another address, so that browsers may keep the old one for ever.
const mark = (text) => createHash("sha256").update(text).digest("hex").slice(0, 12);
const page = readFileSync(join(here, "index.html"), "utf8")
  .replace('href="app.css"', `href="app.css?v=${mark(style)}"`)
  .replace('src="app.js"', `src="app.js?v=${mark(script)}"`);

const packages = [...new Set(Object.keys(metafile.inputs).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]))];
const licences = packages.filter(Boolean).sort().map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  if (!file) throw new Error(`${name}: no licence text in its package`);
  const text = readFileSync(join(folder, file), "utf8").replace(/\r/g, "").trim();
  return `${name} ${version} (${license})\n${"=".repeat(72)}\n${text}\n`;
});
const notice = `The live page contains these libraries, under these licences.\n\n${licences.join("\n\n")}`;

mkdirSync(out, { recursive: true });
const files = {
  "index.html": page,
  "app.js": script,
  "app.css": style,
  "icon.svg": readFileSync(join(here, "icon.svg"), "utf8"),
  "LICENSES.txt": notice,
  "SOURCES.sha256": sources(),
};
for (const [name, text] of Object.entries(files)) {
  writeFileSync(join(out, name), text);
  console.log(`${relative(process.cwd(), join(out, name))}: ${Buffer.byteLength(text)} bytes`);
}

/** What the page was built from, as sha256sum writes it: a test compares it where there is no npm. */
function sources() {
  const found = [];
  const walk = (folder) => {
    for (const entry of readdirSync(join(here, folder), { withFileTypes: true })) {
      const path = folder ? `${folder}/${entry.name}` : entry.name;
      if (entry.name === "node_modules") continue;
      if (entry.isDirectory()) walk(path);
      else found.push(path);
    }
  };
  walk("");
  return found
    .sort()
    .map((path) => `${createHash("sha256").update(readFileSync(join(here, path))).digest("hex")}  ${path}\n`)
    .join("");
}
