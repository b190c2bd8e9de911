# An ESME of Perl's Net::SMPP 1.19 that does what the test says: it answers nothing
# by itself. It is called as lines.mjs tells. Octets that are no text are
# {"hex": "..."} in JSON.
use strict;
use warnings;
use JSON::PP;
use Net::SMPP;

# Net::SMPP leaves it to its user to pack optional parameters.
my %format = (
    sc_interface_version => 'C', sar_msg_ref_num => 'n', sar_total_segments => 'C', sar_segment_seqnum => 'C',
    user_message_reference => 'n', message_state => 'C', delivery_failure_reason => 'C',
    ms_availability_status => 'C', more_messages_to_send => 'C', source_port => 'n', destination_port => 'n',
    payload_type => 'C', receipted_message_id => 'Z*', carrier_own => 'C',
);
my %octets = map { $_ => 1 } qw(short_message message_payload network_error_code);
my %text   = map { $_ => 1 } qw(
    system_id password system_type address_range service_type source_addr destination_addr esme_addr message_id
    schedule_delivery_time validity_period final_date receipted_message_id
);
my $own = 0x1501;    # the tag of carrier_own, which Net::SMPP need not know
$Net::SMPP::param_by_name{carrier_own} = $own;
Net::SMPP::param_tab->{$own} = { name => 'carrier_own' };

my $smpp;

# The fields of query_sm_resp are mandatory, and need no packing.
sub format_of { my ($command, $name) = @_; return $command eq 'query_sm_resp' ? undef : $format{$name} }

sub meant {
    my ($command, $name, $v) = @_;
    return pack 'H*', $v->{hex} if ref $v;
    my $format = format_of($command, $name);
    return defined $format ? pack $format, $v : $v;
}

sub seen {
    my ($command, $name, $v) = @_;
    return undef unless defined $v;
    return { hex => unpack 'H*', $v } if $octets{$name};
    my $format = format_of($command, $name);
    if (defined $format) {
        my $decoded = unpack $format, $v;
        die "$name is " . unpack('H*', $v) if pack($format, $decoded) ne $v;    # of another length
        $v = $decoded;
    }
    return $text{$name} ? "$v" : $v + 0;
}

my %calls = (
    connect => sub {
        my ($port) = @_;
        $smpp = Net::SMPP->new_connect('127.0.0.1', port => $port, smpp_version => 0x34) or die "connect: $!";
        return {};
    },
    # Sends a PDU with these fields.
    send => sub {
        my ($command, $fields) = @_;
        my %rest     = %$fields;
        my $status   = delete $rest{command_status};
        my $sequence = delete $rest{sequence_number};
        my @args     = map { ($_, meant($command, $_, $rest{$_})) } sort keys %rest;
        push @args, status => $status if $status;
        $smpp->$command(@args, seq => $sequence, async => 1) or die 'nothing sent';
        return {};
    },
    # The next PDU, with all that was decoded.
    receive => sub {
        my $pdu     = $smpp->read_pdu() or die 'no PDU';
        my $command = $pdu->explain_cmd;
        my %fields  = (command => $command, command_status => $pdu->{status}, sequence_number => $pdu->{seq});
        # message_class is what SMPP 4 calls the service_type.
        for my $name (grep { !/^(?:cmd|status|seq|data|reserved|known_pdu|message_class|[0-9]+)$/ } keys %$pdu) {
            $fields{$name} = seen($command, $name, $pdu->{$name});
        }
        return \%fields;
    },
);

$| = 1;
while (my $line = <STDIN>) {
    my $asked = decode_json($line);
    my $call  = $calls{ $asked->{call} } or die "unknown call $asked->{call}";
    alarm 30;    # ends the program
    my $result = eval { $call->(@{ $asked->{args} }) };
    alarm 0;
    my $answer = $result ? { result => $result } : { error => { message => "$@" } };
    print encode_json($answer), "\n";
}
