// Typed clients of the services, over gRPC-Web through the one port that this page comes from.

import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { StorageService } from "./contracts/imaging/storage/v1/storage_service_pb.js";

/** A client of storage. `token`: the bearer token of the installation, where it asks for one. */
export function storageClient(baseUrl: string, token: string) {
  const authorize: Interceptor = (next) => (request) => {
    if (token) request.header.set("Authorization", `Bearer ${token}`);
    return next(request);
  };
  return createClient(StorageService, createGrpcWebTransport({ baseUrl, interceptors: [authorize] }));
}

export type Storage = ReturnType<typeof storageClient>;
