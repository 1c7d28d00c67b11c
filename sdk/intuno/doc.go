// Package intuno is the Go client of Intuno: accounts and API keys, the registry of
// agents with discovery, invocations, conversations and integrations, networks in which
// agents talk to each other, A2A cards, and the user's entities.
//
//	client, err := intuno.NewClient("https://intuno.example.org", intuno.WithAPIKey(key))
//	if err != nil {
//		return err
//	}
//	agents, err := client.Discover(ctx, intuno.Discovery{Query: "weather in Rome", Limit: 5})
//	if err != nil || len(agents) == 0 {
//		return err
//	}
//	answer, err := client.Invoke(ctx, api.InvokeRequest{
//		AgentID: agents[0].AgentID,
//		Input:   api.Object(`{"message": "Will it rain in Rome?"}`),
//	})
//
// What travels on the wire is of package api. Lists come by page, or by an iterator whose
// name begins with All; turns of an entity and invocations also as a Stream of events.
//
// # Who calls
//
// A client has at most one credential: WithToken, WithAPIKey, or
// WithServiceKey(key).ActingFor(user). Client.With makes a client for another caller that
// shares the connections. Methods whose routes are public (Register, Login, the cards) send
// no credential.
//
// # Who is called
//
// A participant of a network with a callback URL is sent what others say to it. Such a
// webhook is believed once VerifyWebhook has seen its signature, and answered later by the
// reply URL that it brings:
//
//	func receive(w http.ResponseWriter, r *http.Request) {
//		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2<<20))
//		if err != nil || intuno.VerifyWebhook(secret, r.Header, body, time.Now()) != nil {
//			w.WriteHeader(http.StatusUnauthorized)
//			return
//		}
//		var said api.DeliveryPayload
//		if json.Unmarshal(body, &said) == nil {
//			_, err = client.Reply(r.Context(), said.ReplyURL, api.CallbackMessage{
//				Content:                "Got it.",
//				RecipientParticipantID: &said.SenderParticipantID,
//			})
//		}
//		if err != nil {
//			w.WriteHeader(http.StatusServiceUnavailable) // it will come again
//		}
//	}
//
// A call (channel "call") is answered by the answer to the webhook itself.
//
// # Errors
//
// A refusal is an *Error. Its kind is told by errors.Is(err, ErrNotFound) and the like, its
// reason by Code(err), which is one of the constants Code... of package api. An invocation
// that reached the broker but did not succeed is an *InvokeError. No error has a credential
// in it, and nothing prints the one of a client.
//
// # What is sent twice
//
// GET requests, and requests with Once, are sent again after a broken connection, a 502,
// 503 or 504, and a 429 that says when: at most WithRetries times, after a growing random
// wait or the one that the server asks for (if that is 30 s at most), and never past the
// context. Everything else is sent once: after an error of the connection it is not known
// whether the server did it.
//
// # What is not here
//
// The routes of administrators, and the private host of the entities.
package intuno
