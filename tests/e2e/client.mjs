// The official TypeScript client against the server: `node client.mjs COMMAND [ARGS...] < calls.json`.
// Calls are a list of {tool, arguments}, {resource} or {prompt, arguments}; the tools' names and what came of each call
// are printed as JSON. Having listed them, the client checks every structured result against its tool's output schema.
// "$transcript_id" and "$job_id" in a call are those of the last result that had one.
import { readFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({ command, args, env: process.env, stderr: "ignore" });
const client = new Client({ name: "check", version: "1" });
await client.connect(transport);
const { tools } = await client.listTools();

const known = {};
const filled = (text) => text.replace(/\$(transcript_id|job_id)/g, (_, name) => known[name]);

async function made({ tool, resource, prompt, arguments: given = {} }) {
  if (resource) return client.readResource({ uri: resource });
  if (prompt) return client.getPrompt({ name: prompt, arguments: given });
  return client.callTool({ name: tool, arguments: given });
}

const seen = [];
for (const call of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    const result = await made(JSON.parse(filled(JSON.stringify(call))));
    for (const name of ["transcript_id", "job_id"]) known[name] = result.structuredContent?.[name] ?? known[name];
    seen.push({ result });
  } catch (error) {
    seen.push({ thrown: String(error), code: error.code });
  }
}
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), seen }));
await client.close();
