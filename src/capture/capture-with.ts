import type { NamedStream } from "../core/streams.ts";
import type { Capture } from "./capture.ts";

/** The streams that have a getter, by its name. Attention's keys come with attention. */
interface Getters {
  readonly routerLogits: "router_logits";
  readonly expertIds: "expert_ids";
  readonly expertWeights: "expert_weights";
  readonly expertOutputs: "expert_outputs";
  readonly sharedExpertOutput: "shared_expert_output";
  readonly hiddenStates: "hidden_states";
  readonly attention: "attention";
  readonly attentionKeys: "attention";
}

/** A getter of every stream: the compiler sees to it. */
type Forgotten = Exclude<NamedStream, Getters[keyof Getters] | "attention_keys">;
true satisfies [Forgotten] extends [never] ? true : Forgotten;

/** The getters of streams that are not among the names; none where the names are only known when it runs. */
type Missing<Names extends string> = string extends Names
  ? never
  : { [G in keyof Getters]: Getters[G] extends Names ? never : G }[keyof Getters];

/**
 * A capture that is known to have some streams only: what reads another does not compile.
 *
 * @example
 * import type { CaptureWith } from "moescope";
 * const capture: CaptureWith<"hidden_states"> = await llm.capture("a", { streams: ["hidden_states"] });
 * capture.hiddenStates.get(5); // { type: "float32", dims: [rows, hiddenSize], data }
 * // capture.routerLogits.get(5) does not compile: it was not asked for
 */
export type CaptureWith<Names extends string> = [Missing<Names>] extends [never]
  ? Capture
  : Capture & { readonly [G in Missing<Names>]: never };
