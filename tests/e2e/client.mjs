// The official TypeScript client against the server: `node client.mjs COMMAND [ARGS...] < calls.json`.
// Calls are a list of {tool, arguments}; what came of each is printed as a JSON list. Listing the tools first makes
// the client check every structured result against its tool's output schema.
import { readFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({ command, args, env: process.env, stderr: "ignore" });
const client = new Client({ name: "check", version: "1" });
await client.connect(transport);
await client.listTools();
const seen = [];
for (const { tool, arguments: given } of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    seen.push({ result: await client.callTool({ name: tool, arguments: given }) });
  } catch (error) {
    seen.push({ thrown: String(error) });
  }
}
console.log(JSON.stringify(seen));
await client.close();
