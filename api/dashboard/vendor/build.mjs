// Bundles the libraries of package.json into ../static/vendor, with their licences and SHA-256.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const OUT = "../static/vendor";
const BUNDLES = {
  "preact.js": ["preact.entry.js", ["preact", "htm"]],
  "echarts.js": ["echarts.entry.js", ["echarts", "zrender", "tslib"]],
};

const read = (name) => readFileSync(name, "utf8");
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

function licence(library) {
  for (const name of ["LICENSE", "LICENSE.txt"]) {
    try {
      return read(`node_modules/${library}/${name}`).trim();
    } catch {
      continue;
    }
  }
  throw new Error(`${library} has no licence file`);
}

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
const manifest = { files: {} };
for (const [file, [entry, libraries]] of Object.entries(BUNDLES)) {
  await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    define: { "process.env.NODE_ENV": '"production"' },
    outfile: `${OUT}/${file}`,
  });
  const texts = libraries.map((name) => `${name}\n${"=".repeat(name.length)}\n\n${licence(name)}\n`);
  const notices = `${file.replace(".js", "")}.LICENSE.txt`;
  writeFileSync(`${OUT}/${notices}`, texts.join("\n\n"));
  manifest.files[file] = {
    sha256: sha256(readFileSync(`${OUT}/${file}`)),
    licences: notices,
    libraries: Object.fromEntries(
      libraries.map((name) => [name, JSON.parse(read(`node_modules/${name}/package.json`)).version]),
    ),
  };
}
writeFileSync(`${OUT}/manifest.json`, `${JSON.stringify(manifest, null, 2)}\n`);
