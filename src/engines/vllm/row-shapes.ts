import { RequestError } from "../../core/errors.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import type { RefusedLayer, RowShape, RowShapes } from "../../core/row-shapes.ts";
import { type StreamName, streamSpec } from "../../core/streams.ts";
import type { ReadyMessage } from "./protocol.ts";

/** What the plugin says of streams. */
export type ToldStreams = Pick<ReadyMessage, "streams" | "refused">;

/**
 * Which layers have which of the streams asked for, and why there are none where the plugin refuses.
 *
 * @throws RequestError `UNKNOWN_STREAM` for streams that vLLM never has, and for those of MoE layers that the plugin
 * cannot name.
 */
export function rowShapes(
  { streams, refused }: ToldStreams,
  model: ModelInfo,
  asked: readonly StreamName[],
): RowShapes {
  const never = asked.filter((name) => streamSpec(name).toldBy === "engine");
  if (never.length > 0)
    throw new RequestError("UNKNOWN_STREAM", `vllm has no ${never.join(", ")}; leave them out`);
  const shapes = new Map<StreamName, ReadonlyMap<number, RowShape | RefusedLayer>>();
  for (const name of asked) {
    const { routed } = streamSpec(name);
    const told = streams[name];
    const why = refused[name];
    if (routed && model.moe === null) {
      // Without a reason the model is dense, and its description says enough.
      if (why === undefined) continue;
      throw new RequestError("UNKNOWN_STREAM", `${model.name} has MoE layers, but ${why}. Leave ${name} out`);
    }
    const having = routed ? model.moe!.layers : [...Array(model.layers).keys()];
    shapes.set(
      name,
      told && why === undefined
        ? new Map(told.layers.map((layer) => [layer, [told.width]]))
        : new Map(having.map((layer) => [layer, { refused: why ?? NOT_SWITCHED_ON }])),
    );
  }
  return shapes;
}

const NOT_SWITCHED_ON =
  "vLLM was started without it; name it in the option `streams` (a server: MOESCOPE_STREAMS)";
