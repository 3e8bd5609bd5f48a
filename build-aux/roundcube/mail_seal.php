<?php
// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A plugin of Roundcube. When its plugin "password" has changed a password,
// this one tells the keyring, by the HTTP API of Dovecot's doveadm. README.md
// says how it is set up. Passwords go through that connection alone: into no
// command line, no environment and no log.

class mail_seal extends rcube_plugin
{
    const NOT_TOLD = 'Your new password is valid, but your sealed mail could not be told. Please let your'
        . ' administrator know before you log in again, and keep your earlier password until then: it is what opens'
        . ' your mail.';

    // doveadm's exit code for a user without a keyring: the next login makes it.
    const NOT_ENROLLED = 68;

    public $task = 'settings';

    public function init()
    {
        $this->add_hook('password_change', [$this, 'password_changed']);
    }

    public function password_changed($change)
    {
        $rcmail = rcmail::get_instance();
        $answer = $this->ask($rcmail->config, [
            'user' => $rcmail->get_user_name(),
            'oldPassword' => $change['old_pass'],
            'password' => $change['new_pass'],
            // It is valid already, whatever we think of it.
            'allowWeak' => true,
        ]);
        $error = $this->error_of($answer);
        if ($error !== null) {
            rcube::raise_error(['code' => 600, 'message' => "mail_seal: the keyring has the old password: $error"],
                true, false);
            $rcmail->output->command('display_message', self::NOT_TOLD, 'error');
        }
        return $change;
    }

    // What doveadm answers, "" if there was nobody to ask.
    private function ask($config, $parameters)
    {
        $key = base64_encode($config->get('mail_seal_api_key'));
        $context = stream_context_create(['http' => [
            'method' => 'POST',
            'protocol_version' => 1.1,
            'header' => ["Authorization: X-Dovecot-API $key", 'Content-Type: application/json', 'Connection: close'],
            'content' => json_encode([['sealPassword', $parameters, 'seal']]),
            'timeout' => 30,
        ]]);
        return (string) @file_get_contents($config->get('mail_seal_api_url'), false, $context);
    }

    // In words for the log; null if all is well.
    private function error_of($answer)
    {
        list($kind, $result) = (array) (json_decode($answer, true)[0] ?? []) + ['none', []];
        if ($kind === 'doveadmResponse') {
            return null;
        }
        if ($kind !== 'error') {
            return 'no answer from mail_seal_api_url, or it refused mail_seal_api_key';
        }
        $code = $result['exitCode'] ?? 0;
        if ($code === self::NOT_ENROLLED) {
            return null;
        }
        $type = $result['type'] ?? 'error';
        return "doveadm answered $type $code, see EXIT STATUS in doveadm-seal(1) and Dovecot's log";
    }
}
