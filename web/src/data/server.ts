import type { jobRoutes } from "../../../src/server/jobs/routes.ts";
import type { questions } from "../../../src/server/questions/index.ts";
import { Client } from "./client.ts";
import { request } from "./request.ts";

type Api = (typeof questions)[number] | ReturnType<typeof jobRoutes>[number]["spec"];

/** The server that this page came from. */
export const server = new Client<Api>(request);
