import type { z } from "zod";
import type { ExpertAtlas } from "../../analysis/expert-atlas.ts";
import { schema } from "../../core/schema.ts";

/** The experts as points; see `expertAtlas`, whose result these facts are. */
export const atlasFacts = schema((z): z.ZodType<ExpertAtlas> => {
  const count = z.int().nonnegative();
  return z
    .strictObject({
      by: z.enum(["label", "token class"]).meta({ description: "what the mix is of" }),
      groups: z.array(z.string()),
      explained: z
        .tuple([z.number(), z.number()])
        .meta({ description: "part of the variance that each axis of the plane shows" }),
      corners: z
        .array(z.strictObject({ group: z.string(), x: z.number(), y: z.number() }))
        .meta({ description: "where an expert that serves this group alone would be" }),
      points: z.array(
        z.strictObject({
          layer: count,
          expert: count,
          x: z.number(),
          y: z.number(),
          timesFair: z.number(),
          group: count.meta({ description: "the group it serves most, by index" }),
          part: z.number().meta({ description: "of that group in its mix, groups of equal size assumed" }),
          significant: z
            .boolean()
            .meta({ description: "whether it serves that group beyond chance, q <= 0.05" }),
        }),
      ),
      dead: z.array(z.strictObject({ layer: count, expert: count })),
    })
    .meta({ id: "Atlas" });
});
