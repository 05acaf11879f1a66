// Do jobs with the client library faktory-worker until SIGTERM; FAKTORY_URL names the server.
// The jobs are those of ../scripts/jobs.py.

const { existsSync, writeFileSync } = require("fs");
const { Worker } = require("faktory-worker");

function record(...args) {
  process.stdout.write("done " + JSON.stringify(args) + "\n");
}

const worker = new Worker({
  queues: ["default", "other"],
  concurrency: 2,
  beatInterval: 5,
  timeout: 10,
  labels: ["library:faktory-worker"],
});

worker.register("record", async (...args) => record(...args));

worker.register("fail_first", async (path, ...args) => {
  if (!existsSync(path)) {
    writeFileSync(path, "");
    throw new Error("not the first time");
  }
  record(...args);
});

worker.register("always_fails", async (text) => {
  const error = new Error(text);
  error.code = "ValueError";
  throw error;
});

worker.on("error", (error) => console.error(error));

worker.work().catch((error) => {
  console.error(error);
  process.exit(1);
});
