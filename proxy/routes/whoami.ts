import type { Accounts } from "../accounts/accounts.ts";
import { MatrixError } from "../matrix/errors.ts";
import type { Handlers, Reply } from "./call.ts";

/**
 * GET /account/whoami passes and teaches: bridges ask it first, with a token that may have been given out long before this proxy.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#get_matrixclientv3accountwhoami
 */
export function whoamiRoutes(accounts: Pick<Accounts, "identify">): Handlers {
  return {
    whoami: async (call): Promise<Reply | "pass"> => {
      if (call.token === null) return "pass";
      const response = await call.forward();
      if (response.statusCode === 200) {
        try {
          await accounts.identify(call.token, call.masquerade);
        } catch (error) {
          // The client has its answer; what could not be learnt now is asked again at the token's next use.
          if (!(error instanceof MatrixError)) throw error;
        }
      }
      return response;
    },
  };
}
