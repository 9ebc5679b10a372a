// AgentDB (npm) with the one backend of it that finds anything: hnswlib, chosen by hand.
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";

const [folder, count, dimension, queries] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const floats = (name) => {
  const bytes = readFileSync(`${folder}/${name}`);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
};
const { createBackend } = await import("agentdb/backends");
const backend = await createBackend("hnswlib", {
  dimension, dimensions: dimension, metric: "cosine", maxElements: count,
  M: 16, efConstruction: 200, efSearch: 100,
});
if (backend.name !== "hnswlib") throw new Error(`expected the backend hnswlib, found ${backend.name}`);
const stored = floats("stored.f32");
const asked = floats("asked.f32");
const bytes = readFileSync(`${folder}/right.i32`);
const right = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6; };
let begin = cpu();
for (let i = 0; i < count; i += 1) {
  await backend.insert(String(i), stored.subarray(i * dimension, (i + 1) * dimension));
}
const built = cpu() - begin;
const query = (q) => backend.search(asked.subarray(q * dimension, (q + 1) * dimension), 10);
for (let q = 0; q < 20; q += 1) await query(q);
const times = [];
let hits = 0;
begin = cpu();
for (let q = 0; q < queries; q += 1) {
  const started = performance.now();
  const found = await query(q);
  times.push((performance.now() - started) * 1e3);
  const true10 = new Set(right.subarray(q * 10, q * 10 + 10));
  hits += found.filter((each) => true10.has(Number(each.id))).length;
}
const spent = cpu() - begin;
times.sort((a, b) => a - b);
console.log(JSON.stringify({
  build_cpu_s: built, recall: hits / queries / 10,
  search: {
    p50_us: [times[Math.floor(queries / 2)]], p99_us: times[Math.floor(queries * 0.99)],
    cpu_ms: (spent / queries) * 1e3,
  },
}));
