import type { Call, Handlers, Reply } from "./call.ts";
import { proxied } from "./login.ts";
import { okObject, publicUrl, withBody } from "./replies.ts";

/**
 * GET /.well-known/matrix/client: the homeserver's, with the proxy for a homeserver. Where the homeserver has none of its own (its
 * domain's web server often has it), the proxy still answers for itself.
 *
 * @param configured - where clients reach this proxy; null: by the Host that they asked for
 * @see https://spec.matrix.org/v1.16/client-server-api/#well-known-uri
 */
export function wellKnownRoutes(configured: URL | null): Handlers {
  return {
    wellKnown: async (call: Call): Promise<Reply> => {
      const response = await call.forward();
      const url = publicUrl(call, configured);
      const answer = okObject(response);
      if (answer !== null) return withBody(response, proxied(answer, url));
      if (response.statusCode >= 500) return response;
      return { statusCode: 200, headers: {}, body: JSON.stringify(proxied({}, url)) };
    },
  };
}
