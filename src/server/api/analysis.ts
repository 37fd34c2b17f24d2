import { z } from "zod";
import type { CaptureAnalysis } from "../../analysis/capture-analysis.ts";
import type { LayerAnalysis } from "../../analysis/layer-analysis.ts";

const count = z.int().nonnegative();
/** NaN and infinity, which JSON has not, are `null`. */
const number = z.number().nullable();

const balance = z.object({ cv: number, maxVio: number, entropy: number });

const usageCounts = z.object({
  rows: count,
  counts: z.array(z.number()).meta({ description: "by expert, the rows that used it" }),
  weights: z.array(z.number()).nullable().meta({ description: "by expert, the sum of its weights" }),
});

/** Usage of every expert, layers x experts. */
export const usage = z
  .object({
    experts: count,
    topK: count,
    fairShare: z.number().meta({ description: "topK / experts" }),
    layers: z.array(usageCounts.extend({ layer: count, balance })),
  })
  .meta({ id: "Usage" });
export type Usage = z.infer<typeof usage>;

export const balanceReport = z
  .object({
    experts: count,
    topK: count,
    fairShare: z.number(),
    layers: z.array(
      balance.extend({
        layer: count,
        rows: count,
        sorted: z.array(count).meta({ description: "experts, busiest first" }),
        shares: z.array(z.number()).meta({ description: "by expert, part of the rows it served" }),
        underused: z.array(
          z.object({
            expert: count,
            count,
            share: z.number(),
            interval: z.tuple([z.number(), z.number()]),
            certain: z.boolean(),
          }),
        ),
      }),
    ),
  })
  .meta({ id: "Balance" });
export type BalanceReport = z.infer<typeof balanceReport>;

const significance = { pValue: z.number(), qValue: z.number() };

/** What the tiles of the token x layer map are. */
export const mapFacts = z
  .object({
    rows: count,
    layers: z.array(count).meta({ description: "the rows of a tile, top to bottom" }),
    tileCells: count.meta({ description: "cells of a tile; a cell of level n stands for 2^n rows" }),
    cellRows: count.meta({ description: "rows of a cell that are read at most, those in its middle" }),
    levels: count.meta({ description: "levels 0 to levels - 1; the last has one tile" }),
    experts: count,
    measures: z.array(
      z.object({
        name: z.enum(["entropy", "margin", "top_weight", "top_expert"]),
        dtype: z.enum(["float32", "uint16"]),
        unit: z.string(),
        reduction: z.string().meta({ description: "how the rows of a cell become one value" }),
      }),
    ),
  })
  .meta({ id: "MapFacts" });
export type MapFacts = z.infer<typeof mapFacts>;

/** How far the experts of all layers serve the tokens that one serves. */
export const similarity = z
  .object({
    rows: count,
    used: count.meta({ description: "rows that used the expert" }),
    layers: z.array(
      z.object({
        layer: count,
        counts: z.array(count).meta({ description: "by expert: rows that used it" }),
        shared: z.array(count).meta({ description: "by expert: rows that used both" }),
        phi: z.array(z.number().nullable()).meta({
          description: "by expert: correlation of the two being used, -1 to 1; null where it is not defined",
        }),
      }),
    ),
  })
  .meta({ id: "Similarity" });
export type Similarity = z.infer<typeof similarity>;

export const atlasReport = z
  .object({
    by: z.enum(["label", "token class"]).meta({ description: "what the mix is of" }),
    groups: z.array(z.string()),
    explained: z
      .tuple([z.number(), z.number()])
      .meta({ description: "part of the variance that each axis of the plane shows" }),
    corners: z
      .array(z.object({ group: z.string(), x: z.number(), y: z.number() }))
      .meta({ description: "where an expert that serves this group alone would be" }),
    points: z.array(
      z.object({
        layer: count,
        expert: count,
        x: z.number(),
        y: z.number(),
        timesFair: z.number(),
        group: count.meta({ description: "the group it serves most, by index" }),
        part: z.number().meta({ description: "of that group in its mix, groups of equal size assumed" }),
        certain: z.boolean().meta({ description: "whether it serves that group beyond chance, q <= 0.05" }),
      }),
    ),
    dead: z.array(z.object({ layer: count, expert: count })),
  })
  .meta({ id: "Atlas" });

const tokenPlace = { sample: count, position: count, tokenId: z.int(), text: z.string() };

export const comparisonReport = z
  .object({
    rows: count,
    onlyA: count,
    onlyB: count,
    exact: z.number(),
    parted: z.array(z.object({ sample: count, position: count })),
    layers: z.array(
      z.object({
        layer: count,
        exact: z.number(),
        overlap: z.number(),
        top1: z.number(),
        kl: number,
        js: number,
        firstToDiffer: count,
        experts: z.array(
          z.object({
            expert: count,
            shareA: z.number(),
            shareB: z.number(),
            difference: z.number(),
            ...significance,
          }),
        ),
      }),
    ),
    firstDisagreements: z.array(z.object({ ...tokenPlace, layer: count })),
    moved: z.array(z.object({ ...tokenPlace, js: number, overlap: z.number(), firstLayer: z.int() })),
  })
  .meta({ id: "Comparison" });
export type ComparisonReport = z.infer<typeof comparisonReport>;

/**
 * `CaptureAnalysis` without each layer's `tastes` and `attraction`, which are large: those come with the layer. The
 * type says what is in it; the description of the API names it and leaves the rest to docs/analysis.md.
 */
export const analysisOverview = z
  .looseObject({ format: z.literal("moescope.analysis/1") })
  .meta({ id: "CaptureAnalysis" });
export type AnalysisOverview = Omit<CaptureAnalysis, "layers"> & {
  readonly layers: readonly Omit<LayerAnalysis, "tastes">[];
};

export const layerAnalysis = z.looseObject({ layer: count }).meta({ id: "LayerAnalysis" });
export type { CaptureAnalysis, LayerAnalysis };

/** The analysis is not done yet: ask again. */
export const analysisPending = z
  .object({ done: count, total: count })
  .meta({ id: "AnalysisPending", description: "layers that are analysed, of so many" });
