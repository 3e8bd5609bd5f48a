/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib.h"
#include "istream.h"
#include "doveadm-seal.h"
#include "crypto/secret.h"

/* The secrets between a doveadm and the server that runs its command: a few
   lines, as the command's input. */

#define WIRE_MAGIC "mail-seal 1"

static int
take_wire_line(struct seal_secrets *secrets, const char *line,
	       const char **error_r)
{
	if (strncmp(line, "password ", 9) == 0 &&
	    keyring_secret_is_valid(line + 9)) {
		memcpy(secrets->password, line + 9,
		       sizeof(secrets->password));
		secrets->set |= SEAL_SECRET_PASSWORD;
		return 0;
	}
	if (strncmp(line, "new ", 4) == 0 &&
	    keyring_secret_is_valid(line + 4)) {
		memcpy(secrets->new_password, line + 4,
		       sizeof(secrets->new_password));
		secrets->set |= SEAL_SECRET_NEW;
		return 0;
	}
	if (strncmp(line, "identity ", 9) == 0 &&
	    seal_read_str(secrets, "identity", line + 9, error_r) == 0)
		return seal_take_identity(secrets, "the identity", error_r);
	*error_r = "the input of the command is not what doveadm seal sends";
	return -1;
}

/* The dot-stream may end lines in CRLF, and the last one in nothing. */
static int parse_wire(struct seal_secrets *secrets, const char **error_r)
{
	char *line = secrets->wire, *end;
	bool first = TRUE;
	size_t size;
	int ret = 0;

	for (; ret == 0 && *line != '\0'; line = end, first = FALSE) {
		size = strcspn(line, "\r\n");
		end = line + size;
		while (*end == '\r' || *end == '\n')
			*end++ = '\0';
		if (!first)
			ret = take_wire_line(secrets, line, error_r);
		else if (strcmp(line, WIRE_MAGIC) != 0)
			ret = -1;
	}
	if (first || (ret < 0 && secrets->set == 0))
		*error_r = "the doveadm that asks is of another version of "
			"mail_seal";
	return first ? -1 : ret;
}

int seal_wire_read(struct seal_cmd_context *cmd, const char **error_r)
{
	struct seal_secrets *secrets = cmd->secrets;
	struct istream *input;
	const unsigned char *data;
	size_t size, total = 0;
	int ret;

	doveadm_mail_get_input(&cmd->ctx);
	input = cmd->ctx.cmd_input;
	while (i_stream_read_more(input, &data, &size) > 0) {
		if (total + size < sizeof(secrets->wire))
			memcpy(secrets->wire + total, data, size);
		total += size;
		/* The memory is Dovecot's, and stays as it is otherwise. */
		secret_wipe((void *)(uintptr_t)data, size);
		i_stream_skip(input, size);
	}
	if (input->stream_errno != 0) {
		*error_r = t_strdup_printf("reading the secrets failed: %s",
					   i_stream_get_error(input));
		ret = -1;
	} else if (total >= sizeof(secrets->wire)) {
		*error_r = "the input of the command is too long";
		ret = -1;
	} else {
		ret = parse_wire(secrets, error_r);
	}
	i_stream_unref(&cmd->ctx.cmd_input);
	return ret;
}

static void
add_wire_line(struct seal_secrets *secrets, enum seal_secret_flags flag,
	      const char *name, const char *value)
{
	size_t size = strlen(secrets->wire);

	if ((secrets->set & flag) != 0 &&
	    i_snprintf(secrets->wire + size, sizeof(secrets->wire) - size,
		       "%s %s\n", name, value) < 0)
		i_unreached();
}

void seal_wire_rewind(struct seal_cmd_context *cmd)
{
	struct seal_secrets *secrets = cmd->secrets;

	i_stream_unref(&cmd->ctx.cmd_input);
	cmd->ctx.cmd_input = i_stream_create_from_data(
		secrets->wire, strlen(secrets->wire));
	i_stream_set_name(cmd->ctx.cmd_input, "secrets");
}

void seal_wire_write(struct seal_cmd_context *cmd)
{
	struct seal_secrets *secrets = cmd->secrets;
	char identity[AGE_X25519_IDENTITY_CHARS + 1];

	secret_wipe(secrets->wire, sizeof(secrets->wire));
	if (i_strocpy(secrets->wire, WIRE_MAGIC"\n",
		      sizeof(secrets->wire)) < 0)
		i_unreached();
	age_x25519_identity_str(&secrets->identity, identity);
	add_wire_line(secrets, SEAL_SECRET_PASSWORD, "password",
		      secrets->password);
	add_wire_line(secrets, SEAL_SECRET_IDENTITY, "identity", identity);
	add_wire_line(secrets, SEAL_SECRET_NEW, "new", secrets->new_password);
	secret_wipe(identity, sizeof(identity));
	seal_wire_rewind(cmd);
}
