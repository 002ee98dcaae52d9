// docs/asyncapi.yaml before AsyncAPI's own parser: node scripts/check-asyncapi.mjs (`make test-tools` installs it).
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const where = createRequire(pathToFileURL(`${process.argv[2] ?? "."}/package.json`));
const { Parser } = where("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync("docs/asyncapi.yaml", "utf8"));
const worse = diagnostics.filter((each) => each.severity <= 1); // 0 error, 1 warning
for (const { severity, code, message, path } of diagnostics)
  console.log(`${["error", "warning", "information", "hint"][severity]} ${code}: ${path.join(".")}: ${message}`);
if (!document || worse.length) process.exit(1);
console.log(`AsyncAPI ${document.version()}: ${document.channels().length} channels, ${document.messages().length} messages`);
