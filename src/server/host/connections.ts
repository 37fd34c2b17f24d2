import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** More than any browser with a few dozen tabs has, and than a machine has clients. */
const MAX_CONNECTIONS = 1024;
/** Of one address that is not this machine's: a proxy is one, and people behind one. */
const MAX_BY_ADDRESS = 256;

/** What a connection waits for. */
interface Connection {
  readonly socket: Socket;
  readonly address: string;
  /** The request that is being answered, once all of it has arrived. */
  answering: boolean;
}

export interface ConnectionLimits {
  readonly connections?: number;
  readonly byAddress?: number;
  /** Milliseconds in which a client must take something of an answer. */
  readonly patience: number;
}

/**
 * Keeps connections that do nothing from locking others out. When there are too many, the one goes that has waited
 * longest for its client: without a request, or with half of one. A client that takes nothing of its answer is let go.
 */
export function limitConnections(
  server: Server,
  { connections: limit = MAX_CONNECTIONS, byAddress = MAX_BY_ADDRESS, patience }: ConnectionLimits,
): void {
  /** Oldest first: a request moves a connection to the end. */
  const connections = new Map<Socket, Connection>();
  const countOf = (address: string) => {
    let count = 0;
    for (const connection of connections.values()) if (connection.address === address) count++;
    return count;
  };
  const idle = (address: string | null): Socket | null => {
    for (const { socket, ...connection } of connections.values())
      if (!connection.answering && (address === null || connection.address === address)) return socket;
    return null;
  };
  const letGo = (address: string | null, newest: Socket) => {
    const socket = idle(address) ?? newest;
    connections.delete(socket);
    socket.destroy();
  };

  server.on("connection", (socket: Socket) => {
    const address = socket.remoteAddress ?? "";
    connections.set(socket, { socket, address, answering: false });
    socket.once("close", () => connections.delete(socket));
    if (connections.size > limit) letGo(null, socket);
    else if (!isOwn(address) && countOf(address) > byAddress) letGo(address, socket);
  });
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    const connection = connections.get(socket);
    if (!connection) return;
    connections.delete(socket);
    connections.set(socket, connection);
    const arrived = () => {
      connection.answering = true;
    };
    if (request.method === "GET" || request.method === "HEAD") arrived();
    else request.once("end", arrived);
    response.once("close", () => {
      connection.answering = false;
    });
  });
  // Refreshed by whatever arrives, and by whatever part of an answer the client takes.
  server.timeout = patience;
  // With a listener, Node leaves it to us: an answer that is still being worked on takes its time.
  server.on("timeout", (socket: Socket) => {
    if (connections.get(socket)?.answering && socket.writableLength === 0) socket.setTimeout(patience);
    else socket.destroy();
  });
}

/** This machine's programs share its address: one is not to be told from another. */
const isOwn = (address: string) => /^(::ffff:)?127\.|^::1$/.test(address);
