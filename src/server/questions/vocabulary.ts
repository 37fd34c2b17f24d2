import { z } from "zod";
import { json } from "../host/declaration.ts";
import { captureId } from "../host/schemas.ts";
import { question } from "./question.ts";

const words = z.object({ tokenId: z.array(z.int()), text: z.array(z.string()) }).meta({ id: "Vocabulary" });

export const vocabulary = question({
  path: "/api/captures/{id}/vocabulary",
  tag: "captures",
  summary: "The text of every token that occurs",
  asked: z.object({ id: captureId }),
  answer: json("columns of equal length", () => words),
  find: ({ id: { vocabulary } }) => ({ tokenId: [...vocabulary.keys()], text: [...vocabulary.values()] }),
});
