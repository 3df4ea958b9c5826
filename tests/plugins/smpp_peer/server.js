// An SMSC of the npm package `smpp`. Prints its port, then one line of JSON for everything it understood.
// 12065550166 is told to wait, 12065550177 answers with a long text; every other message is delivered.
const smpp = require("smpp");

const tell = (what) => console.log(JSON.stringify(what));
let id = 0;

function deliver(session, fields) {
  session.deliver_sm(fields, (answer) => tell({ answered: answer.command_status }));
}

const server = smpp.createServer((session) => {
  session.on("error", (error) => tell({ error: String(error) }));
  const bind = (pdu) => {
    tell({ bind: pdu.command, system_id: pdu.system_id, version: pdu.interface_version });
    session.send(pdu.response({ command_status: pdu.password === "s3cret-8" ? 0 : smpp.ESME_RINVPASWD }));
  };
  for (const command of ["bind_transceiver", "bind_transmitter", "bind_receiver"]) session.on(command, bind);
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => {
    tell({ unbind: true });
    session.send(pdu.response());
    session.close();
  });
  session.on("submit_sm", (pdu) => {
    const content = pdu.message_payload || pdu.short_message;
    tell({
      to: pdu.destination_addr,
      from: pdu.source_addr,
      ton: pdu.source_addr_ton,
      coding: pdu.data_coding,
      text: content.message,
      header: content.udh ? Buffer.concat(content.udh.map((one) => Buffer.from(one))).toString("hex") : "",
      priority: pdu.priority_flag,
      total: pdu.sar_total_segments || 0,
    });
    if (pdu.destination_addr === "12065550166") {
      session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
      return;
    }
    const name = `peer-${++id}`;
    session.send(pdu.response({ message_id: name }));
    const people = { source_addr_ton: 1, source_addr: pdu.destination_addr, destination_addr_ton: 1, destination_addr: "12065550199" };
    if (pdu.registered_delivery & 1) {
      deliver(session, {
        ...people,
        esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
        receipted_message_id: name,
        message_state: smpp.MESSAGE_STATE.DELIVERED,
        short_message: `id:${name} sub:001 dlvrd:001 submit date:2611270411 done date:2611270412 stat:DELIVRD err:000 text:`,
      });
    }
    if (pdu.destination_addr === "12065550177") {
      ["Grüße {1} ", "und €2"].forEach((text, place) =>
        deliver(session, {
          ...people,
          data_coding: 0, // the package would write 1, its name for the same alphabet
          short_message: { udh: Buffer.from([5, 0, 3, 42, 2, place + 1]), message: text },
        }),
      );
    }
  });
});

server.listen(0, "127.0.0.1", () => tell({ port: server.address().port }));
