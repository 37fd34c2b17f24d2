import { type ChatMessage, imagesOf } from "../../run/prompts/message.ts";
import { ServerError } from "../host/server-error.ts";

/**
 * Images are files and addresses that this server would read for whoever asks.
 *
 * @throws ServerError `INVALID_REQUEST`.
 */
export function assertNoImages(messages: readonly ChatMessage[]): void {
  if (imagesOf(messages).length > 0)
    throw new ServerError(
      "INVALID_REQUEST",
      "images do not go in here; use the library or the command line",
      {
        param: "messages",
      },
    );
}
