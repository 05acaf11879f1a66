// Push jobs with the client library faktory-worker; FAKTORY_URL names the server. Standard input holds
// {"jobs": [{"jobtype", "args", "queue"?, "at"?, …}], "bulk"?: true}; the jids are printed as one JSON array.

const { readFileSync } = require("fs");
const { Client } = require("faktory-worker");

async function main() {
  const request = JSON.parse(readFileSync(0, "utf8"));
  const client = new Client();
  const jobs = request.jobs.map(({ jobtype, args, ...fields }) => {
    const job = client.job(jobtype, ...args);
    Object.assign(job.payload, fields);
    return job;
  });
  if (request.bulk) {
    const refused = await client.pushBulk(jobs);
    if (Object.keys(refused).length) throw new Error(JSON.stringify(refused));
  } else {
    for (const job of jobs) await job.push();
  }
  console.log(JSON.stringify(jobs.map((job) => job.jid)));
  await client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
