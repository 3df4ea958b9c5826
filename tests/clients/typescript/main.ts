// A client as an application developer would write it: create a project, import, count and send.
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ChannelService } from "./gen/heliograph/messaging/v1/channels_pb.js";
import { type Message, MessageService, MessageStatus } from "./gen/heliograph/messaging/v1/messages_pb.js";
import { ProjectService } from "./gen/heliograph/projects/v1/projects_pb.js";
import { ImportJob_Format, ImportJob_State, JobService } from "./gen/heliograph/segments/v1/jobs_pb.js";
import { AttributeDimension_Operator, SegmentService } from "./gen/heliograph/segments/v1/segments_pb.js";

function setting(name: string): string {
  const value = process.env[`HELIOGRAPH_${name}`];
  if (!value) throw new Error(`HELIOGRAPH_${name} is not set`);
  return value;
}

function transport(service: string, key = setting("KEY")) {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${key}`);
    return next(request);
  };
  return createGrpcTransport({ baseUrl: `http://${setting(service)}`, interceptors: [authorize] });
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
const projectId = setting("PROJECT");
const parent = `projects/${projectId}`;

const project = await createClient(ProjectService, transport("PROJECTS")).createProject({
  projectId,
  project: { displayName: "From TypeScript" },
});

const jobs = createClient(JobService, transport("SEGMENTS"));
let job = await jobs.createImportJob({
  parent,
  importJob: { format: ImportJob_Format.CSV, source: setting("SOURCE") },
});
while (job.state !== ImportJob_State.COMPLETED && job.state !== ImportJob_State.FAILED) {
  await pause();
  job = await jobs.getImportJob({ name: job.name });
}

const tier = { operator: AttributeDimension_Operator.INCLUSIVE, values: ["gold"] };
const count = await createClient(SegmentService, transport("SEGMENTS")).countSegment({
  parent,
  audience: { case: "rules", value: { groups: [{ dimensions: [{ attributes: { Tier: tier } }] }] } },
});

await createClient(ChannelService, transport("MESSAGING")).updateChannel({
  channel: {
    name: `${parent}/channels/EMAIL`,
    provider: "simulator",
    settings: { seed: "typescript" },
    fromAddress: "shop@example.com",
    enabled: true,
  },
});
const messages = createClient(MessageService, transport("MESSAGING"));
const sent = await messages.sendMessages({
  parent,
  channel: "EMAIL",
  content: { emailSubject: "Hello", emailText: "from TypeScript" },
  recipients: [{ address: "ann@example.com" }],
  requestId: "one",
});
// A message is in the ledger as soon as a worker has taken it from the bus, and settled a moment later.
async function settled(name: string): Promise<Message> {
  for (;;) {
    try {
      const message = await messages.getMessage({ name });
      if (message.status !== MessageStatus.CLAIMED && message.status !== MessageStatus.DISPATCHING) return message;
    } catch (error) {
      if (ConnectError.from(error).code !== Code.NotFound) throw error;
    }
    await pause();
  }
}
const message = await settled(sent.messages[0].message);

let refused = "";
try {
  await createClient(ProjectService, transport("PROJECTS", "hg_no_such")).getProject({ name: parent });
} catch (error) {
  refused = Code[ConnectError.from(error).code];
}
console.log(
  JSON.stringify({
    project: project.name,
    imported: Number(job.createdCount),
    failed: Number(job.failedCount),
    counted: Number(count.memberCount),
    status: `MESSAGE_STATUS_${MessageStatus[message.status]}`,
    refused,
  }),
);
