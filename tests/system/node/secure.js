// A conversation over TLS with the client library faktory-worker, which takes TLS from its options and not from the URL.
// FAKTORY_URL names the server; whom Node trusts is said by NODE_EXTRA_CA_CERTS. Two jobs are pushed and fetched, the
// first is acknowledged, the second fails; what was fetched is printed as one JSON array.

const { Client } = require("faktory-worker");

async function main() {
  const client = new Client({ tlsOptions: {} });
  for (const text of ["good", "bad"]) await client.job("record", text).push();
  const [good, bad] = [await client.fetch("default"), await client.fetch("default")];
  await client.ack(good.jid);
  await client.fail(bad.jid, new Error("no such luck"));
  console.log(JSON.stringify([good.args, bad.args]));
  await client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
