# Prints the octets that Net::SMPP 1.19 makes of the cases, as JSON; see make.js.
use strict;
use warnings;
use JSON::PP;
use Net::SMPP;
use Symbol;

# A session whose socket is a string.
package Wire;
our @ISA = ('Net::SMPP');
our $sent;
sub syswrite { $sent .= $_[1] }

package main;

# What Net::SMPP wants packed, and under which name.
my %format = (
    sc_interface_version => 'C', sar_msg_ref_num => 'n', sar_total_segments => 'C', sar_segment_seqnum => 'C',
    user_message_reference => 'n', message_state => 'C', delivery_failure_reason => 'C',
    ms_availability_status => 'C', more_messages_to_send => 'C', source_port => 'n', dest_port => 'n',
    payload_type => 'C', receipted_message_id => 'Z*', '0x1501' => 'C',
);
$Net::SMPP::param_by_name{dest_port} = 0x020B;
$Net::SMPP::param_by_name{'0x1501'}  = 0x1501;    # a carrier's own

sub value {
    my ($command, $name, $v) = @_;
    my $mandatory = $command eq 'query_sm_resp';    # its message_state is no optional parameter
    return pack $format{$name}, $v if $format{$name} && !$mandatory;
    return join q{}, map { /^[0-9]+$/ ? chr : $_ } @$v if ref $v;    # text is never all digits
    return $v;
}

sub octets {
    my ($case) = @_;
    my $session = bless gensym, 'Wire';
    ${*$session}{$_} = Net::SMPP::Default->{$_} for keys %{&Net::SMPP::Default};
    $session->set_version(0x34);
    my $fields  = $case->{fields};
    my $command = $case->{command};
    my @args    = map { ($_, value($command, $_, $fields->{$_})) } @{ $case->{order} };
    push @args, status => $case->{status} if $case->{status};
    $Wire::sent = '';
    $session->$command(@args, seq => $case->{sequence}, async => 1);
    return unpack 'H*', $Wire::sent;
}

# The order of the parameters is part of the octets, and JSON::PP forgets it.
sub order {
    my ($text, $name) = @_;
    my ($fields) = $text =~ /"name": "\Q$name\E".*?"fields": \{(.*?)\n?\s*\}/s or die $name;
    return [$fields =~ /"(\w+)": /g];
}

open my $in, '<:raw', $ARGV[0] or die $!;
my $text = do { local $/; <$in> };
my %made;
for my $case (@{ decode_json($text) }) {
    next if $case->{not}{perl};
    $case->{order} = order($text, $case->{name});
    $made{ $case->{name} } = octets($case);
}
print encode_json(\%made);
