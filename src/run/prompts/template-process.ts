import { RequestError } from "../../core/errors.ts";
import { renderChat } from "./chat-template.ts";
import type { RenderReply, RenderRequest } from "./render-apart.ts";

/** A process that renders chats: a template that takes all memory or hangs takes nothing else with it. */

const reply = (message: RenderReply) => process.send!(message);

process.on("message", ({ templates, chat, where }: RenderRequest) => {
  try {
    reply({ text: renderChat(templates, chat, where) });
  } catch (error) {
    const { message, stack } = error as Error;
    if (error instanceof RequestError) reply({ refused: { code: error.code, message } });
    else reply({ failed: stack ?? message });
  }
});
// Whoever asks is gone.
process.on("disconnect", () => process.exit());
reply({ ready: true });
