/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "imap-common.h"
#include "imap-fetch.h"
#include "mail/mail-seal-mail.h"
#include "imap-mail-seal-private.h"

/* IMAP sends the size of a message before its bytes; what comes to light in
   between can only close the connection. So the handlers of the items that send
   bodies are wrapped: the message is authenticated first, and if it is damaged
   the item fails in time to be answered with NO. */

static const char *const wrapped_names[] = { "BODY", "RFC822", "BINARY" };
static struct imap_fetch_handler wrapped_handlers[N_ELEMENTS(wrapped_names)];

struct prepared_fetch {
	imap_fetch_handler_t *handler;
	void *context;
	enum mail_seal_part part;
};

static int
fetch_prepared(struct imap_fetch_context *ctx, struct mail *mail,
	       void *context)
{
	struct prepared_fetch *fetch = context;

	if (mail != NULL && mail_seal_mail_prepare(mail, fetch->part) < 0)
		return -1;
	return fetch->handler(ctx, mail, fetch->context);
}

/* Headers lie in the first chunk or are read whole before their size is sent.*/
static bool wants_body(const char *item)
{
	return strncasecmp(item, "BODY[HEADER", 11) != 0 &&
		strncasecmp(item, "BODY.PEEK[HEADER", 16) != 0 &&
		strncasecmp(item, "RFC822.HEADER", 13) != 0;
}

static enum mail_seal_part wanted_part(const char *item)
{
	if (strncasecmp(item, "BINARY", 6) == 0)
		return MAIL_SEAL_PART_DECODED;
	return strchr(item, '<') != NULL ? MAIL_SEAL_PART_PIECE :
		MAIL_SEAL_PART_WHOLE;
}

static bool init_wrapped(struct imap_fetch_init_context *ctx, unsigned int idx)
{
	struct imap_fetch_context *fetch_ctx = ctx->fetch_ctx;
	struct imap_fetch_context_handler *added;
	struct prepared_fetch *fetch;
	unsigned int count = array_count(&fetch_ctx->handlers);
	unsigned int buffered_count = fetch_ctx->buffered_handlers_count;

	if (!wrapped_handlers[idx].init(ctx))
		return FALSE;
	/* Buffered handlers, which go before the others, send no bodies. */
	if (array_count(&fetch_ctx->handlers) == count ||
	    fetch_ctx->buffered_handlers_count > buffered_count ||
	    !wants_body(ctx->name))
		return TRUE;
	added = array_back_modifiable(&fetch_ctx->handlers);
	fetch = p_new(ctx->pool, struct prepared_fetch, 1);
	fetch->handler = added->handler;
	fetch->context = added->context;
	fetch->part = wanted_part(ctx->name);
	added->handler = fetch_prepared;
	added->context = fetch;
	return TRUE;
}

static bool init_body(struct imap_fetch_init_context *ctx)
{
	return init_wrapped(ctx, 0);
}

static bool init_rfc822(struct imap_fetch_init_context *ctx)
{
	return init_wrapped(ctx, 1);
}

static bool init_binary(struct imap_fetch_init_context *ctx)
{
	return init_wrapped(ctx, 2);
}

static const struct imap_fetch_handler our_handlers[] = {
	{ "BODY", init_body },
	{ "RFC822", init_rfc822 },
	{ "BINARY", init_binary },
};

void imap_mail_seal_fetch_init(void)
{
	const struct imap_fetch_handler *handler;
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(wrapped_names); i++) {
		handler = imap_fetch_handler_lookup(wrapped_names[i]);
		i_assert(handler != NULL);
		wrapped_handlers[i] = *handler;
		imap_fetch_handler_unregister(wrapped_names[i]);
		imap_fetch_handlers_register(&our_handlers[i], 1);
	}
}

void imap_mail_seal_fetch_deinit(void)
{
	unsigned int i;

	for (i = 0; i < N_ELEMENTS(wrapped_names); i++) {
		imap_fetch_handler_unregister(wrapped_names[i]);
		imap_fetch_handlers_register(&wrapped_handlers[i], 1);
	}
}
